"""Whatever an operator learns, in every family: it starts as the closed form, and its file gives it back."""

from dataclasses import replace
from itertools import product
from typing import Any

import pytest
import torch

from growth.apply import Grower
from growth.axes import axis_sizes
from growth.expand import source_fetch
from growth.operators.artefact import load_operator, save_operator
from growth.operators.learned import LearnedOperator
from growth.operators.ligo import Ligo
from growth.operators.operator import GrowthOperator
from growth.plan import GrowthPlan
from tests.families import FAMILIES
from tests.growth.fit_bench import perturbed
from tests.growth.growing import Source
from tests.growth.variants import Sources

TARGETS = ("fractional-and-depth", "2x-and-depth", "2x", "depth-2x")
STRUCTURES: list[dict[str, Any]] = [
    {"share": share, "tie": tie, "attention": attention, "rank": rank}
    for share, tie, attention, rank in [
        ("layer", "untied", "heads", None),
        ("model", "transposed", "dense", 3),
        ("layer", "normalised", "dense", 3),
    ]
]
# Their experts lie in one tensor, or they are trained on pairs.
UNFITTED = {"mixtral", "qwen3_moe", "t5", "whisper"}
CASES = [
    pytest.param(next(iter(family.variants)), structure, id=f"{name}-{'-'.join(map(str, structure.values()))}")
    for (name, family), structure in product(FAMILIES.items(), STRUCTURES)
    if name not in UNFITTED
]


def grown(plan: GrowthPlan, operator: GrowthOperator, source: Source) -> dict[str, torch.Tensor]:
    grower = Grower(operator, plan.source, plan.target)
    return {
        t.name: grower.grow(t.parameter, t.layer, source_fetch(plan, source.reader, t.parameter)) for t in plan.tensors
    }


@pytest.mark.parametrize(("variant", "structure"), CASES)
def test_every_structure_in_every_family(sources: Sources, variant: str, structure: dict[str, Any]) -> None:
    source = sources(variant)
    family = next(family for family in FAMILIES.values() if variant in family.variants)
    target = next(family.targets[name] for name in TARGETS if name in family.targets)
    plan = source.plan(target.sizes, {"name": "ligo", **structure}, seed=3)
    assert isinstance(plan.method, Ligo)
    rows = dict.fromkeys(tensor.parameter for tensor in plan.tensors)
    sizes = axis_sizes(plan.source.sizes)
    learned = LearnedOperator(plan.operator, rows, sizes, plan.method.structure, dtype=torch.float64)
    closed, started = (grown(plan, operator, source) for operator in (plan.operator, learned.frozen()))
    assert closed.keys() == started.keys()
    for name, tensor in closed.items():
        torch.testing.assert_close(started[name], tensor, rtol=1e-12, atol=1e-12, check_dtype=False)
    learned.load(perturbed({name: factor.detach() for name, factor in learned.factors.items()}))
    moved = grown(plan, learned.frozen(), source)
    loaded = grown(plan, load_operator(save_operator(learned.frozen(), plan), plan), source)
    assert all(torch.equal(moved[name], loaded[name]) for name in moved)
    assert not all(torch.equal(moved[name], closed[name]) for name in moved)


@pytest.mark.parametrize(("variant", "init"), [("olmo2", "pad"), ("bert", "bert2bert"), ("gpt2", "bert2bert")])
def test_products_need_no_maps_of_their_axes(sources: Sources, variant: str, init: str) -> None:
    """What is new and what gains are filled with comes from the product, where a norm or the next layer asks."""
    source = sources(variant)
    plan = source.plan(
        {"hidden_size": 64, "num_hidden_layers": 3}, {"name": "ligo", "init": init, "attention": "dense"}
    )
    assert isinstance(plan.method, Ligo)
    rows = dict.fromkeys(tensor.parameter for tensor in plan.tensors)
    sizes, structure = axis_sizes(plan.source.sizes), plan.method.structure
    dense = LearnedOperator(plan.operator, rows, sizes, structure, dtype=torch.float64).frozen()
    products = {key: maps for key, maps in dense.axes.items() if key not in ("heads", "kv_heads")}
    assert any(key.startswith("heads*") for key in products)
    loaded = load_operator(save_operator(replace(dense, axes=products), plan), plan)
    closed, found = (grown(plan, operator, source) for operator in (plan.operator, loaded))
    for name, tensor in closed.items():
        torch.testing.assert_close(found[name], tensor, rtol=1e-12, atol=1e-12)
