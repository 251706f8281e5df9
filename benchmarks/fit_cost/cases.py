"""What is measured: sources and targets, the options set side by side, and the two steps that are compared."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from transformers import BertConfig, BertForMaskedLM, LlamaConfig, LlamaForCausalLM, PreTrainedModel

from growth.checkpoint import CheckpointReader
from growth.fit import Batch, Batches, Fit
from growth.operators import parse_method
from growth.operators.ligo import Ligo
from growth.plan import GrowthPlan, make_plan
from growth.source import read_source
from growth.stock_weights import weightless
from storage import Storage, Uri
from storage.folder import Folder
from worker.modules import build_module

PLAIN = "plain"
"""The name of the step that others are held against."""


@dataclass(frozen=True)
class Sizes:
    """Of a source: (hidden, intermediate, layers, heads), the vocabulary."""

    family: str
    hidden: int
    intermediate: int
    layers: int
    heads: int
    vocabulary: int = 8192


@dataclass(frozen=True)
class Case:
    """One growth, and how many sequences of how many tokens a step sees."""

    told: str
    source: Sizes
    hidden: int
    layers: int
    batch: int
    tokens: int = 128

    @property
    def target(self) -> dict[str, Any]:
        """The target's sizes, as a job asks for them."""
        return {"hidden_size": self.hidden, "num_hidden_layers": self.layers}


BERT = Sizes("bert", 512, 2048, 6, 8)
LLAMA = Sizes("llama", 256, 688, 4, 8)
CASES: Mapping[str, Case] = {
    "bert-4": Case("BERT 6L/512 -> 12L/768, 4 x 128 tokens", BERT, 768, 12, 4),
    "bert-16": Case("BERT 6L/512 -> 12L/768, 16 x 128 tokens", BERT, 768, 12, 16),
    "llama-4": Case("Llama 4L/256 -> 8L/512, 4 x 128 tokens", LLAMA, 512, 8, 4),
    "llama-16": Case("Llama 4L/256 -> 8L/512, 16 x 128 tokens", LLAMA, 512, 8, 16),
    "smoke": Case("BERT 1L/32 -> 2L/48, 2 x 16 tokens", Sizes("bert", 32, 64, 1, 2, 128), 48, 2, 2, 16),
}

SETS: Mapping[str, Mapping[str, Any]] = {
    "default": Ligo().described(),
    "full rank": {},
    "rank 64": {"rank": 64},
    "rank 32": {"rank": 32},
    "rank 64, residual in 1 group": {"rank": 64, "residual_groups": 1},
    "rank 64, no residual": {"rank": 64, "residual": False},
    "rank 64, materialised": {"rank": 64, "form": "materialised"},
    "rank 64, checkpointing none": {"rank": 64, "activation_checkpointing": "none"},
    "rank 64, checkpointing full": {"rank": 64, "activation_checkpointing": "full"},
    "rank 64, accumulation 2": {"rank": 64, "gradient_accumulation": 2},
    "rank 64, accumulation 4": {"rank": 64, "gradient_accumulation": 4},
}
"""Every default; and what differs from pad, residual in 4 groups, form auto, selective checkpointing, one part."""
BASE: Mapping[str, Any] = {
    "name": "ligo",
    "init": "pad",
    "residual": True,
    "residual_groups": 4,
    "form": "auto",
    "activation_checkpointing": "selective",
    "gradient_accumulation": 1,
    "rank": None,
    "held_out_every": 1_000_000,
}
"""Written out, so that figures mean the same whatever the defaults become."""


def sets_of(case: Case, wanted: Iterable[str]) -> dict[str, Mapping[str, Any]]:
    """Of the options called `wanted` those that a case is measured with: small batches are not split."""
    given = {name: SETS[name] for name in wanted}
    return {
        name: options
        for name, options in given.items()
        if case.batch >= 16 or options.get("gradient_accumulation") is None
    }


def stock(sizes: Sizes, positions: int = 512) -> PreTrainedModel:
    """A stock model with random weights."""
    given: dict[str, Any] = {
        "hidden_size": sizes.hidden,
        "intermediate_size": sizes.intermediate,
        "num_hidden_layers": sizes.layers,
        "num_attention_heads": sizes.heads,
        "vocab_size": sizes.vocabulary,
        "max_position_embeddings": positions,
    }
    if sizes.family == "bert":
        return BertForMaskedLM(BertConfig(**given))
    return LlamaForCausalLM(LlamaConfig(**given))


def write_source(sizes: Sizes, folder: Path) -> Uri:
    """A checkpoint with random weights."""
    torch.manual_seed(0)
    stock(sizes).save_pretrained(folder)
    return Uri.parse(folder.resolve().as_uri())


@dataclass(frozen=True)
class Growth:
    """A source, read, and where it grows to."""

    uri: Uri
    target: Mapping[str, Any]
    tensors: dict[str, Tensor] = field(default_factory=dict)
    """By their name in the table; shared by all fits of one process."""

    def plan(self, options: Mapping[str, Any]) -> GrowthPlan:
        """The plan under `options` of the method."""
        folder = Folder(Storage(), self.uri)
        checkpoint = read_source(folder)
        method = parse_method({**BASE, **options})
        plan = make_plan(checkpoint.config, checkpoint.tensors, dict(self.target), method)
        if not self.tensors:
            reader = CheckpointReader(folder, checkpoint.tensors)
            self.tensors.update({name: reader.wide(info.name) for name, info in plan.source_tensors.items()})
        return plan

    def fit(self, options: Mapping[str, Any], batches: Batches) -> Fit:
        """The fit as the worker makes it."""
        plan = self.plan(options)
        assert isinstance(plan.method, Ligo)
        return Fit(plan, plan.method, self.tensors, weightless(build_module(plan.target)), batches)


@dataclass(frozen=True)
class RandomTokens:
    """Batches of random tokens [sequences, tokens]: what they hold changes no cost."""

    case: Case

    def batch(self, step: int) -> Batch:
        generator = torch.Generator().manual_seed(step)
        shape = (self.case.batch, self.case.tokens)
        ids = torch.randint(0, self.case.source.vocabulary, shape, generator=generator)
        return {"input_ids": ids, "labels": ids}

    def held_out(self) -> list[Batch]:
        return [self.batch(1_000_000)]


def plain_training(module: nn.Module, batches: Batches, rate: float = 1e-4) -> Callable[[], None]:
    """A training step of a stock module without dropout: forward, backward, AdamW."""
    module.eval()
    optimizer = torch.optim.AdamW(module.parameters(), lr=rate)
    steps = iter(range(1_000_000))

    def step() -> None:
        optimizer.zero_grad(set_to_none=True)
        module(**batches.batch(next(steps))).loss.backward()
        optimizer.step()

    return step


def plain_flops(module: nn.Module, tokens: int) -> int:
    """6 for each entry of a matrix that multiplies and each token, attention's scores apart, as `Fit` leaves them."""
    return 6 * tokens * sum(part.weight.numel() for part in module.modules() if isinstance(part, nn.Linear))
