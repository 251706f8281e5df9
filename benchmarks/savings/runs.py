"""One run: a source, that source annealed, a scratch baseline or a grown model, trained by one process."""

import json
import time
from dataclasses import asdict, dataclass
from hashlib import blake2b
from pathlib import Path
from typing import Any, Literal

import torch
import transformers
from torch import nn

from benchmarks.savings.data import batches_of
from benchmarks.savings.fitting import fitted
from benchmarks.savings.growing import grown_module, plan_of
from benchmarks.savings.recipe import Recipe
from benchmarks.savings.training import WEIGHT_DECAY, held_out_loss, score_flops, step_flops, train

LEAST_WARMUP, GROWN_WARMUP, SCRATCH_WARMUP = 20, 40, 100
"""Steps; between the least and the most a tenth of the training."""
SOURCE_SEED, FIT_SEED = 10_000, 20_000
"""Added to a run's seed, so that no batch of a source or a fit comes again in the target's order."""


@dataclass(frozen=True)
class Run:
    """What is trained, for how long and at what peak rate."""

    kind: Literal["source", "annealed", "scratch", "grown"]
    steps: int
    rate: float
    seed: int
    method: str = ""
    """The growth method as a JSON object, where one grows."""

    def key(self, recipe: Recipe) -> str:
        """The same for the same settings, in whatever process; scratch's does not ask for the source."""
        told, settings = asdict(self), asdict(recipe)
        if self.method:
            told["method"] = json.loads(self.method)
        if self.kind == "scratch":
            settings = {name: value for name, value in settings.items() if not name.startswith("source")}
        return json.dumps({**told, "recipe": settings}, sort_keys=True)


@dataclass(frozen=True)
class Result:
    """What came of a run."""

    loss: float | None
    """Held-out, at the end; None where training diverged."""
    flops: float
    """Of the training."""
    fit_flops: float
    start_loss: float | None
    """Held-out, before the first step."""
    seconds: float


def source_folder(work: Path, recipe: Recipe, run: Run) -> Path:
    """Where the source that `run` trained lies."""
    return work / f"source-{blake2b(run.key(recipe).encode(), digest_size=8).hexdigest()}"


def source_run(recipe: Recipe, seed: int) -> Run:
    """The run that trains the source of this seed."""
    return Run("source", recipe.source_steps, recipe.source_rate, seed)


def annealed_run(recipe: Recipe, seed: int) -> Run:
    """The run that trains this source for a quarter more, at half its rate and down to zero, without any growth."""
    return Run("annealed", recipe.source_steps // 4, recipe.source_rate / 2, seed)


def execute(recipe: Recipe, run: Run, work: Path) -> Result:
    """Train, and tell the losses; a source is saved in its folder."""
    started = time.monotonic()
    fit_flops = 0.0
    module: nn.Module
    if run.kind == "grown":
        module, fit_flops = _grown(recipe, run, work)
    elif run.kind == "annealed":
        folder = source_folder(work, recipe, source_run(recipe, run.seed))
        module = getattr(transformers, recipe.model_class).from_pretrained(folder)
    else:
        module = _fresh(recipe, recipe.source if run.kind == "source" else recipe.target, run.seed)
    is_source = run.kind == "source"
    batches = batches_of(recipe, run.seed + SOURCE_SEED * is_source)
    before = held_out_loss(module, recipe, batches)
    groups = [{"params": list(module.parameters()), "lr": run.rate, "weight_decay": WEIGHT_DECAY}]
    train(module, groups, batches, run.steps, _warmup(recipe, run), decays=not is_source)
    if is_source:
        module.save_pretrained(source_folder(work, recipe, run))  # type: ignore[operator]
    loss = held_out_loss(module, recipe, batches)
    seconds = round(time.monotonic() - started, 1)
    return Result(loss, run.steps * step_flops(module, recipe), fit_flops, before, seconds)


def _warmup(recipe: Recipe, run: Run) -> int:
    if run.kind == "source":
        return recipe.source_warmup
    most = SCRATCH_WARMUP if run.kind == "scratch" else GROWN_WARMUP
    return min(max(run.steps // 10, LEAST_WARMUP), most, run.steps // 2)


def _fresh(recipe: Recipe, sizes: Any, seed: int) -> nn.Module:
    """A model at the initialisation of transformers."""
    torch.manual_seed(seed)
    config = transformers.AutoConfig.for_model(**recipe.config, **sizes)
    module: nn.Module = getattr(transformers, recipe.model_class)(config)
    return module


def _grown(recipe: Recipe, run: Run, work: Path) -> tuple[nn.Module, float]:
    folder = source_folder(work, recipe, source_run(recipe, run.seed))
    plan, reader = plan_of(folder, recipe.target, json.loads(run.method), run.seed)
    module = grown_module(plan, plan.operator, reader)
    if not plan.method.fits:
        return module, 0.0
    batches = batches_of(recipe, run.seed + FIT_SEED)
    operator, flops = fitted(plan, reader, batches, score_flops(module, recipe))
    return grown_module(plan, operator, reader), flops
