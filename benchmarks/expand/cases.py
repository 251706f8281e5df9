"""The checkpoints that are grown: bfloat16 Llamas with random weights."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn
from transformers import LlamaConfig, LlamaForCausalLM

from growth.checkpoint import CheckpointReader
from growth.expand import ShardSink, Written, expand
from growth.operators import parse_method
from growth.plan import GrowthPlan, make_plan
from growth.source import read_source
from storage import Storage, Uri
from storage.folder import Folder

ONE_SHARD = 1 << 40


@dataclass(frozen=True)
class Case:
    """One growth: (hidden, intermediate, layers, heads, vocabulary) of the source, and the target's sizes."""

    told: str
    source: tuple[int, int, int, int, int]
    target: Mapping[str, int]
    method: str = "hypercloning"


DOUBLED = Case(
    "256M -> 821M parameters, twice as wide and twice as deep",
    (1024, 2816, 4, 16, 100_000),
    {"hidden_size": 2048, "num_hidden_layers": 8},
)
DEEPENED = Case(
    "468M -> 871M parameters, 24 -> 48 layers", (1024, 4096, 24, 16, 32_000), {"num_hidden_layers": 48}, "stack"
)
PADDED = Case(
    "256M -> 538M parameters, 1.5 times as wide, half of it fresh random units, and twice as deep",
    (1024, 2816, 4, 16, 100_000),
    {"hidden_size": 1536, "num_hidden_layers": 8},
    "pad",
)
STORED = Case(
    "117M -> 542M parameters, twice as wide and twice as deep",
    (1024, 2816, 4, 16, 32_000),
    {"hidden_size": 2048, "num_hidden_layers": 8},
)
LARGE = Case(
    "0.8B -> 3.0B parameters, twice as wide",
    (1536, 4096, 25, 12, 32_000),
    {"hidden_size": 3072},
)


def write_source(case: Case, folder: Path, max_shard_size: str = "100GB") -> Uri:
    """The checkpoint to grow, written by transformers."""
    hidden, intermediate, layers, heads, vocabulary = case.source
    config = LlamaConfig(
        hidden_size=hidden,
        intermediate_size=intermediate,
        num_hidden_layers=layers,
        num_attention_heads=heads,
        vocab_size=vocabulary,
    )
    model = LlamaForCausalLM(config)
    nn.Module.to(model, torch.bfloat16)
    model.save_pretrained(folder, max_shard_size=max_shard_size)
    return Uri.parse(folder.resolve().as_uri())


def plan_of(case: Case, storage: Storage, source: Uri, max_shard_bytes: int = ONE_SHARD) -> GrowthPlan:
    """The plan, from the source's headers."""
    checkpoint = read_source(Folder(storage, source))
    method = parse_method(case.method)
    return make_plan(checkpoint.config, checkpoint.tensors, dict(case.target), method, max_shard_bytes=max_shard_bytes)


def grow(
    plan: GrowthPlan, storage: Storage, source: Uri, open_shard: Callable[[int, int], ShardSink[Written]]
) -> list[Written]:
    """The expansion as the worker does it, its headers read anew."""
    folder = Folder(storage, source)
    reader = CheckpointReader(folder, read_source(folder).tensors)
    return expand(plan, plan.operator, reader, open_shard, lambda _: None)
