"""What a fit needs, for tiny checkpoints of every family: plan, source, stock module, real text; and its reference."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call

from growth.axes import axis_sizes
from growth.fit import Batch, Fit, FitOutcome
from growth.fit.ranks import Ranks
from growth.operators.learned import LearnedOperator
from growth.operators.ligo import Ligo
from growth.operators.method import Nested
from growth.operators.operator import GrowthOperator
from growth.plan import GrowthPlan
from tests.growth.brute_force import BruteForce
from tests.growth.family_rules import RULES, WRITERS
from tests.growth.fit_factors import Factors
from tests.growth.growing import Source, Target
from tests.growth.text import TextBatches, token_rows
from tests.tiny import BERT_SPECIALS, tiny_bert, tiny_gpt2, tiny_llama
from worker.modules import build_module

MASK_ID = BERT_SPECIALS.index("[MASK]")
MAKERS: Mapping[str, Callable[..., Path]] = {"llama": tiny_llama, "gpt2": tiny_gpt2, "bert": tiny_bert}
LEMON_PADDED = {"name": "lemon", "depth": "stack", "noise": 0.0}
LEMON = {"name": "lemon", "depth": "stack"}
CLONING = {"name": "hypercloning", "depth": "stack"}
HALF: Target = {"hidden_size": 48, "num_hidden_layers": 3}
DOUBLE: Target = {"hidden_size": 64, "num_hidden_layers": 4}


@dataclass(frozen=True)
class Case:
    """A source, a target and where the fit starts."""

    family: str
    init: Nested
    target: Target
    options: tuple[tuple[str, Any], ...] = ()
    """Of the source's config."""

    def __str__(self) -> str:
        name = self.init if isinstance(self.init, str) else "-".join(str(value) for value in self.init.values())
        sizes = "x".join(str(size) for size in self.target.values())
        return "-".join([self.family, str(name), sizes, *(key for key, value in self.options if value)])


TIED, BIASED = (("tie_word_embeddings", True),), (("attention_bias", True), ("mlp_bias", True))
LLAMA_PAD, GPT2_PAD, BERT_PAD = (Case(family, "pad", HALF) for family in ("llama", "gpt2", "bert"))
LLAMA_PAD_TIED = Case("llama", "pad", HALF, TIED)
GPT2_CLONING, BERT_CLONING = (Case(family, CLONING, DOUBLE) for family in ("gpt2", "bert"))
CASES = [
    LLAMA_PAD,
    LLAMA_PAD_TIED,
    Case("llama", CLONING, DOUBLE, TIED),
    Case("llama", LEMON, DOUBLE, BIASED),
    Case("llama", "hypercloning", DOUBLE, BIASED),
    Case("llama", LEMON_PADDED, HALF),
    GPT2_PAD,
    GPT2_CLONING,
    Case("gpt2", LEMON_PADDED, HALF),
    Case("gpt2", "pad", {**HALF, "num_attention_heads": 4, "intermediate_size": 150}),
    BERT_PAD,
    BERT_CLONING,
    Case("bert", LEMON, DOUBLE),
    Case("bert", "pad", {"hidden_size": 60, "num_hidden_layers": 3, "num_attention_heads": 5}),
]


@dataclass
class Bench:
    """Everything for fits of one case, and for their reference."""

    plan: GrowthPlan
    source: dict[str, Tensor]
    batches: TextBatches

    @classmethod
    def of(cls, case: Case, folder: Path, dtype: torch.dtype, **options: Any) -> "Bench":
        source = Source.open(MAKERS[case.family](folder, **dict(case.options)))
        plan = source.plan(case.target, {"name": "ligo", "init": case.init, **options}, seed=3)
        tensors = {name: source.reader.wide(info.name).to(dtype) for name, info in plan.source_tensors.items()}
        return cls(plan, tensors, TextBatches(token_rows(folder), MASK_ID if case.family == "bert" else None))

    @cached_property
    def module(self) -> nn.Module:
        """A stock target module whose own weights spoil everything they touch."""
        module = build_module(self.plan.target).to(next(iter(self.source.values())).dtype)
        for parameter in module.parameters():
            parameter.data.fill_(float("nan"))
        return module

    @property
    def method(self) -> Ligo:
        assert isinstance(self.plan.method, Ligo)
        return self.plan.method

    def fit(self, ranks: Ranks | None = None) -> Fit:
        return Fit(self.plan, self.method, self.source, self.module, self.batches, ranks=ranks)

    @property
    def factors(self) -> Factors:
        """What a fit learns of the width maps, by hand."""
        return Factors(self.plan, self.method.structure)

    def start(self) -> dict[str, Tensor]:
        """Where the factors of a fit start: new rows at nothing, depth as in the closed form."""
        started = self.factors.start()
        for template in RULES[self.plan.source.architecture.model_type]:
            if "{layer}" in template and template.format(layer=0) in self.source:
                started[f"depth/{template}"] = self._start_of_depth(template)
        return started

    def matrices(self, factors: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """The dense matrices that such factors make."""
        depth = {name: tensor for name, tensor in factors.items() if name.startswith("depth/")}
        return {**depth, **self.factors.matrices(factors)}

    def _start_of_depth(self, template: str) -> Tensor:
        """Stacked layers; or identity blocks, which repeat a layer without what it writes."""
        layers, target_layers = (c.sizes.num_hidden_layers for c in (self.plan.source, self.plan.target))
        matrix = torch.zeros(target_layers, layers, dtype=torch.float64)
        if "*writes" not in self.plan.operator.depth:
            matrix[range(target_layers), [layer % layers for layer in range(target_layers)]] = 1.0
            return matrix
        order = [layer * layers // target_layers for layer in range(target_layers)]
        for layer, source in enumerate(order):
            silent = layer > 0 and order[layer - 1] == source and template.startswith(WRITERS)
            matrix[layer, source] = 0.0 if silent else 1.0
        return matrix

    def reference_loss(self, factors: Mapping[str, Tensor], batch: Batch) -> Tensor:
        """The loss of the stock module with weights that brute force has grown."""
        weights = BruteForce(self.plan, self.matrices(factors)).weights(self.source)
        known = {name for name, _ in self.module.named_parameters()}
        assert known == set(weights)
        loss: Tensor = functional_call(self.module, weights, kwargs=dict(batch)).loss
        return loss


def learned(outcome: FitOutcome, bench: Bench) -> dict[str, Tensor]:
    """What a fit has learned, by the names of its factors."""
    operator: Any = outcome.operator
    found: dict[str, Tensor] = {}
    for use in bench.factors.uses().values():
        updated = getattr(operator.axes[use.key], use.name)
        parts = {} if use.tied else {"up": updated.up, "down": updated.down}
        found |= {f"{use.factor}.{part}": tensor for part, tensor in parts.items() if tensor is not None}
    return found | {f"depth/{name}": depth.matrix for name, depth in operator.depth.items() if "*" not in name}


def perturbed(factors: Mapping[str, Tensor], spread: float = 0.02) -> dict[str, Tensor]:
    """Dense factors near `factors`, so that no zero hides a wrong index."""
    generator = torch.Generator().manual_seed(5)
    return {name: t + spread * torch.randn(t.shape, generator=generator, dtype=t.dtype) for name, t in factors.items()}


def fitted(plan: GrowthPlan, dtype: torch.dtype = torch.float32) -> GrowthOperator:
    """An operator as a fit leaves it: every factor dense, none where it started."""
    rows = dict.fromkeys(tensor.parameter for tensor in plan.tensors)
    assert isinstance(plan.method, Ligo)
    sizes = axis_sizes(plan.source.sizes)
    learned = LearnedOperator(plan.operator, rows, sizes, plan.method.structure, dtype=dtype)
    learned.load(perturbed({name: tensor.detach() for name, tensor in learned.factors.items()}))
    return learned.frozen()


def quiet(_: object) -> None:
    """What a test does with points and states that it does not look at."""
