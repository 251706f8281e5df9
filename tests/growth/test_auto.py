"""`auto`: what it picks by rule, what it leaves open, what it tells of the methods that were impossible."""

import json
import time
from collections.abc import Mapping
from typing import Any

import pytest

from growth.errors import ImpossibleTarget, InvalidMethod
from growth.operators import parse_method
from growth.operators.method import Growth
from growth.operators.selection import Selection
from growth.plan import GrowthPlan
from growth.target import resolve_target
from tests.families import FAMILIES, FAMILY_OF
from tests.growth.growing import Target, build, difference, grown_tensors, outputs
from tests.growth.stock import stock_config
from tests.growth.variants import Sources

EXACT = {"name": "auto", "function_preserving": True}
WIDER, ANY, DEEPER, BOTH = {"hidden_size": 64}, {"hidden_size": 48}, {"num_hidden_layers": 3}, {"num_hidden_layers": 4}
PICKED: Mapping[str, tuple[str, Target, Any, tuple[str, ...], bool]] = {
    "pre-width": ("llama", WIDER, "auto", ("pad",), False),
    "pre-any-ratio": ("gpt2", ANY, "auto", ("pad",), False),
    "pre-headless": ("llama-headless", WIDER, "auto", ("pad",), False),
    "depth": ("llama", DEEPER, "auto", ("stack", "interpolate"), False),
    "doubled-depth": ("gpt2", BOTH, "auto", ("stack", "interpolate"), False),
    "pre-both": ("llama", {**WIDER, **DEEPER}, "auto", ("pad + stack", "pad + interpolate"), False),
    "post-width": ("bert", ANY, "auto", ("pad",), False),
    "post-both": ("bert", {**ANY, **DEEPER}, "auto", ("pad + stack", "pad + interpolate"), False),
    "nothing": ("bert", {}, "auto", ("identity",), True),
    "exact-width": ("bert", WIDER, EXACT, ("lemon",), True),
    "exact-any-ratio": ("llama", ANY, EXACT, ("lemon",), True),
    "exact-depth": ("gpt2", DEEPER, EXACT, ("identity",), True),
    "exact-both": ("gpt2", {**ANY, **DEEPER}, EXACT, ("lemon + identity",), True),
}


def selection_of(plan: GrowthPlan) -> Selection:
    assert plan.selection is not None
    return plan.selection


@pytest.mark.parametrize(("variant", "target", "method", "left", "preserving"), PICKED.values(), ids=PICKED)
def test_what_is_picked(
    sources: Sources, variant: str, target: Target, method: Any, left: tuple[str, ...], preserving: bool
) -> None:
    source = sources(variant)
    plan = source.plan(target, method, seed=4)
    selection = selection_of(plan)
    assert tuple(candidate.label for candidate in selection.open) == left
    assert selection.label == left[0]
    assert selection.method == plan.method.described() == selection.open[0].method
    assert plan.function_preserving is preserving
    assert plan.notes[0] == f"auto picked {left[0]}. {selection.reason}"
    named = source.plan(target, dict(selection.method), seed=4)
    assert named.operator == plan.operator
    assert named.target == plan.target
    assert named.selection is None
    grown = outputs(build(plan, grown_tensors(plan, source.reader)))
    assert (difference(source.outputs, grown) <= 1e-9) is preserving


TARGETS = [
    pytest.param(next(iter(family.variants)), name, id=f"{family.model_type}-{name}")
    for family in FAMILIES.values()
    for name in family.targets
    if name not in next(iter(family.variants.values())).without
]


@pytest.mark.parametrize(("variant", "name"), TARGETS)
def test_every_family(sources: Sources, variant: str, name: str) -> None:
    """Where the function may stay it does so if asked; the target is reached in any case that is possible at all."""
    source, family = sources(variant), FAMILY_OF[variant]
    wanted = family.targets[name]
    if family.reaches(wanted, widens=True, pads=True):
        assert source.plan(wanted.sizes, EXACT).function_preserving
    else:
        with pytest.raises(ImpossibleTarget):
            source.plan(wanted.sizes, EXACT)
    if "impossible" in wanted.needs:
        with pytest.raises(ImpossibleTarget):
            source.plan(wanted.sizes, "auto")
    else:
        assert selection_of(source.plan(wanted.sizes, "auto")).open


def test_solar_is_a_candidate_where_it_is_another_growth_than_stack(sources: Sources) -> None:
    refused = {c.label: c.refusal for c in selection_of(sources("llama").plan(DEEPER, "auto")).candidates}
    assert "can't make 3 layers of 2" in refused["solar"]
    assert not refused["identity"]
    doubled = selection_of(sources("llama").plan(BOTH, "auto"))
    assert "solar" not in {candidate.label for candidate in doubled.open}


def test_what_was_impossible_is_told_with_the_reason(sources: Sources) -> None:
    plan = sources("bert").plan({**ANY, **DEEPER}, "auto")
    assert any(n.startswith("lemon + identity is not possible: Method 'lemon' can't") for n in plan.notes)
    assert any("The lowest held-out loss decides between pad + stack, " in note for note in plan.notes)
    exact = sources("llama").plan(ANY, EXACT)
    assert any(n.startswith("hypercloning is not possible: ") and "whole multiples" in n for n in exact.notes)
    assert any("is padded, not copied" in note for note in exact.notes)


@pytest.mark.parametrize("target", [ANY, DEEPER, {**ANY, **DEEPER}], ids=str)
def test_a_function_that_can_not_stay_is_refused_with_the_nearest(sources: Sources, target: Target) -> None:
    source = sources("bert")
    with pytest.raises(ImpossibleTarget) as refused:
        source.plan(target, EXACT)
    assert refused.value.nearest
    assert source.plan({**target, **refused.value.nearest}, EXACT).function_preserving


def test_sizes_that_no_method_reaches_are_refused(sources: Sources) -> None:
    with pytest.raises(ImpossibleTarget, match="never shrinks"):
        sources("llama").plan({"hidden_size": 16}, "auto")


@pytest.mark.parametrize(
    ("method", "field"),
    [
        pytest.param({"name": "stack", "width": "auto"}, "/method/width", id="width"),
        pytest.param({"name": "pad", "depth": "auto"}, "/method/depth", id="depth"),
        pytest.param({"name": "ligo", "init": "auto"}, "/method/init", id="init"),
    ],
)
def test_it_stands_alone(sources: Sources, method: Any, field: str) -> None:
    with pytest.raises(InvalidMethod) as refused:
        sources("llama").plan(WIDER, method)
    assert refused.value.field == field


@pytest.mark.parametrize("variant", ["bert", "llama"])
def test_the_lowest_loss_picks_among_what_is_open(sources: Sources, variant: str) -> None:
    plan = sources(variant).plan({**WIDER, **DEEPER}, "auto")
    selection = selection_of(plan)
    labels = [candidate.label for candidate in selection.open]
    losses = {label: 5.0 - number for number, label in enumerate(labels)}
    picked = selection.measured({**losses, "lemon + identity": 0.1})
    assert picked.label == labels[-1]
    assert parse_method(dict(picked.method)).described() == picked.method
    assert [c.held_out_loss for c in picked.open] == list(losses.values())
    assert picked.notes()[1].startswith(f"Held-out losses right after growth: {labels[0]} 5.0000, ")
    assert selection.measured(dict.fromkeys(labels, 5.0)).label == labels[0]
    assert selection.measured(dict.fromkeys(labels)).label == labels[0]
    assert selection.measured({labels[0]: None, labels[1]: 9.0}).label == labels[1]
    assert FAMILY_OF[variant].deepens == any(c.label == "lemon + identity" and not c.refusal for c in picked.candidates)


def test_the_plan_is_the_same_every_time_and_plain_json(sources: Sources) -> None:
    first, second = (sources("gpt2").plan({**ANY, **DEEPER}, "auto", seed=9).summary() for _ in range(2))
    assert json.loads(json.dumps(first)) == second
    assert first["selection"]["label"] == "pad + stack"


def test_candidates_of_a_large_model_are_built_while_a_caller_waits() -> None:
    sizes = {"hidden_size": 8192, "intermediate_size": 28672, "num_hidden_layers": 80, "num_key_value_heads": 8}
    raw = {"model_type": "llama", "num_attention_heads": 64, "vocab_size": 128256, **sizes}
    source = stock_config("LlamaForCausalLM", raw)
    target = resolve_target(source, {"hidden_size": 16384, "num_hidden_layers": 120})
    started = time.process_time()
    built = parse_method("auto").build(Growth(source, target, 0))
    assert time.process_time() - started < 5
    assert built.selection is not None
    assert [c.label for c in built.selection.open] == ["pad + stack", "pad + solar", "pad + interpolate"]
