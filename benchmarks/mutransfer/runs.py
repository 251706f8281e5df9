"""One run: a model of one width, trained from random weights at one rate under one parametrisation."""

import json
import time
from dataclasses import asdict, dataclass
from math import inf

from benchmarks.mutransfer.family import Family
from benchmarks.savings.data import batches_of
from benchmarks.savings.training import WEIGHT_DECAY, held_out_loss, step_flops, train
from growth.coordinate_check import Parametrisation
from growth.mutransfer import transfer
from growth.parameter_groups import initialise, param_groups
from worker.modules import build_module


@dataclass(frozen=True)
class Run:
    """What is trained, and at what peak rate."""

    parametrisation: Parametrisation
    width: int
    power: int
    """The rate is 2 to this power."""
    seed: int

    def key(self, family: Family) -> str:
        """The same for the same settings, in whatever process."""
        fixed = {"recipe": asdict(family.recipe), "steps": family.steps, "warmup": family.warmup}
        return json.dumps({**asdict(self), **fixed}, sort_keys=True)


@dataclass(frozen=True)
class Result:
    """What came of a run."""

    loss: float | None
    """Held-out, nats per byte, at the end; None where training diverged."""
    flops: float
    seconds: float


def execute(family: Family, run: Run) -> Result:
    """Train, and tell the loss."""
    started = time.monotonic()
    config, rate = family.config(run.width), 2.0**run.power
    plan = transfer(family.config(family.widths[0]), config, undecayed=frozenset())
    module = build_module(plan.target_config(), seed=run.seed)
    groups = [{"params": list(module.parameters()), "lr": rate, "weight_decay": WEIGHT_DECAY}]
    if run.parametrisation == "mup":
        initialise(module, plan, run.seed)
        groups = param_groups(module, plan, lr=rate, weight_decay=WEIGHT_DECAY)
    batches = batches_of(family.recipe, run.seed)
    # Without a bound on the gradient: it would be reached the sooner the wider the model.
    train(module, groups, batches, family.steps, family.warmup, decays=True, clip=inf)
    loss = held_out_loss(module, family.recipe, batches)
    flops = family.steps * step_flops(module, family.recipe)
    return Result(loss, flops, round(time.monotonic() - started, 1))
