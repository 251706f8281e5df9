"""Attention heads: every target query head reads a copy of its own group, at any ratio that holds every source head."""

from dataclasses import replace
from itertools import product
from typing import Any

import pytest
import torch
from torch import Tensor

from growth.config import ModelConfig
from growth.errors import ImpossibleTarget
from growth.operators import parse_method
from growth.operators.method import Growth
from tests.growth.brute_force import dense
from tests.growth.definitions import cloned_heads

LENGTH, HEAD_DIM = 5, 4
SOURCES = [(4, 4), (4, 2), (4, 1), (6, 3), (8, 2)]
TARGETS = [(heads, kv) for heads in (4, 6, 8, 9, 12, 16) for kv in range(1, heads + 1) if heads % kv == 0]


def fits(source: tuple[int, int], target: tuple[int, int]) -> bool:
    """By search: each copy of a key/value head takes a group's worth of query heads, until all have a place."""
    (heads, kv_heads), (wide, wide_kv) = source, target
    places = [0] * kv_heads
    for kv in range(wide_kv):
        places[kv % kv_heads] += wide // wide_kv
    return min(places) >= heads // kv_heads


RATIOS = [(s, t) for s, t in product(SOURCES, TARGETS) if t[0] >= s[0] and t[1] >= s[1] and s != t]
POSSIBLE = [pytest.param(s, t, id=f"{s[0]}:{s[1]}-{t[0]}:{t[1]}") for s, t in RATIOS if fits(s, t)]
IMPOSSIBLE = [pytest.param(s, t, id=f"{s[0]}:{s[1]}-{t[0]}:{t[1]}") for s, t in RATIOS if not fits(s, t)]


def growth(source: tuple[int, int], target: tuple[int, int]) -> Growth:
    sizes = {"hidden_size": 48, "intermediate_size": 96, "num_hidden_layers": 1, "vocab_size": 10, "head_dim": HEAD_DIM}
    heads = {"num_attention_heads": source[0], "num_key_value_heads": source[1]}
    config = ModelConfig.from_dict({"model_type": "llama", **sizes, **heads})
    wide = replace(config.sizes, num_attention_heads=target[0], num_key_value_heads=target[1])
    return Growth(config, wide, seed=1)


def head_maps(method: str, source: tuple[int, int], target: tuple[int, int]) -> tuple[Any, Any]:
    axes = parse_method(method).build(growth(source, target)).operator.axes
    return axes["heads"], axes["kv_heads"]


def attend(queries: Tensor, keys: Tensor, values: Tensor, outputs: Tensor) -> Tensor:
    """Grouped-query attention head by head: [heads, length, head_dim] thrice and [heads, head_dim, hidden]."""
    group = len(queries) // len(keys)
    total = torch.zeros(LENGTH, outputs.shape[-1], dtype=torch.float64)
    for head in range(len(queries)):
        scores = queries[head] @ keys[head // group].T / HEAD_DIM**0.5
        total += torch.softmax(scores, -1) @ values[head // group] @ outputs[head]
    return total


@pytest.mark.parametrize("method", ["hypercloning", "lemon", "net2net", "bert2bert", "pad"])
@pytest.mark.parametrize(("source", "target"), POSSIBLE)
def test_attention_stays_the_same(method: str, source: tuple[int, int], target: tuple[int, int]) -> None:
    heads, kv_heads = head_maps(method, source, target)
    generator = torch.Generator().manual_seed(0)
    queries = torch.randn(source[0], LENGTH, HEAD_DIM, generator=generator, dtype=torch.float64)
    keys, values = torch.randn(2, source[1], LENGTH, HEAD_DIM, generator=generator, dtype=torch.float64)
    outputs = torch.randn(source[0], HEAD_DIM, 7, generator=generator, dtype=torch.float64)
    grown = attend(
        torch.einsum("ts,sld->tld", dense(heads.expand), queries),
        torch.einsum("ts,sld->tld", dense(kv_heads.expand), keys),
        torch.einsum("ts,sld->tld", dense(kv_heads.expand), values),
        torch.einsum("ts,sdh->tdh", dense(heads.contract), outputs),
    )
    assert float((grown - attend(queries, keys, values, outputs)).abs().max()) < 1e-12


@pytest.mark.parametrize(("source", "target"), POSSIBLE)
def test_hypercloning_deals_each_group_out_over_its_copies(source: tuple[int, int], target: tuple[int, int]) -> None:
    grown = growth(source, target)
    queries, keys = cloned_heads(grown.source.sizes, grown.target)
    heads, kv_heads = head_maps("hypercloning", source, target)
    assert list(heads.expand.index) == queries
    assert list(kv_heads.expand.index) == keys


@pytest.mark.parametrize("method", ["hypercloning", "lemon", "net2net", "bert2bert", "pad"])
@pytest.mark.parametrize(("source", "target"), IMPOSSIBLE)
def test_groups_that_would_lose_a_head_are_refused(
    method: str, source: tuple[int, int], target: tuple[int, int]
) -> None:
    with pytest.raises(ImpossibleTarget, match="can't hold every query head") as refused:
        parse_method(method).build(growth(source, target))
    nearest = refused.value.nearest
    assert nearest["num_attention_heads"] == target[0]
    assert fits(source, (target[0], nearest["num_key_value_heads"]))


@pytest.mark.parametrize("target", [(9, 9), (12, 12), (12, 4), (16, 16)], ids=lambda t: f"{t[0]}:{t[1]}")
def test_lemon_splits_copies_unequally(target: tuple[int, int]) -> None:
    heads, _ = head_maps("lemon", (4, 4), target)
    weights = dense(heads.contract)
    assert float((weights.sum(0) - 1).abs().max()) < 1e-15
    assert min(heads.contract.weight) > 0
    copied = [column[column > 0].tolist() for column in weights.T if (column > 0).sum() > 1]
    assert copied
    assert all(len(set(shares)) == len(shares) for shares in copied)
