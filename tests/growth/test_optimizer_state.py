"""Grown moments against autograd: what the rule makes of the source's gradient is the target's own gradient."""

from collections.abc import Iterator, Mapping, Set
from typing import Any

import pytest
import torch
from torch import Tensor

from growth.axes import Parameter
from growth.optimizer_layout import MOMENTS, plan_state
from growth.optimizer_state import MomentGrower
from growth.plan import GrowthPlan
from growth.residual import Fetch
from tests.families import FAMILIES, FAMILY_OF
from tests.growth.growing import KeepFloat64, Target, build, grown_tensors, load
from tests.growth.states import state_headers
from tests.growth.stock import as_written
from tests.growth.variants import Sources

METHODS = ("net2net", "hypercloning", "lemon")
COMBINED = ("2x-and-depth", "fractional-and-depth", "heads", "kv_heads", "fractional-kv", "heads-and-head_dim")
FIRST = [next(iter(family.variants)) for family in FAMILIES.values()]


def gradients(model: Any) -> dict[str, Tensor]:
    """Of a seeded sum of the model's outputs, by parameter; tied ones once, unused ones zero."""
    inputs = FAMILIES[model.config.model_type].inputs()
    floating = {name: tensor.to(model.dtype) for name, tensor in inputs.items() if tensor.is_floating_point()}
    model.zero_grad()
    with KeepFloat64():  # type: ignore[no-untyped-call]
        computed = model(**{**inputs, **floating})[0]
        drawn = torch.randn(computed.shape, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
        (computed * drawn).sum().backward()
    found = {name: (parameter, parameter.grad) for name, parameter in model.named_parameters()}
    zeroed = {name: torch.zeros_like(p) if gradient is None else gradient for name, (p, gradient) in found.items()}
    return as_written(model, zeroed)


def cases() -> list[Any]:
    """Every target that a method reaches exactly, for every variant with logits."""
    return list(_cases())


def _cases() -> Iterator[Any]:
    for variant, family in FAMILY_OF.items():
        if family.variants[variant].kind.endswith("Model"):
            continue
        for name, target in family.targets.items():
            for method in METHODS if name in COMBINED and variant in FIRST else METHODS[:1]:
                reached = family.reaches(target, widens=True, pads=method != "hypercloning")
                wanted = name in COMBINED or variant in FIRST
                if reached and wanted and name not in family.variants[variant].without:
                    yield pytest.param(variant, target.sizes, method, id=f"{variant}-{name}-{method}")


def grown(plan: GrowthPlan, fresh: Set[str], kind: str, source: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The moments that each target tensor with a history gets from the source's, by name."""
    grower = MomentGrower(plan)

    def fetch(row: Parameter) -> Fetch:
        return lambda layer: source[row.tensor_name(layer)]

    tensors = (t for t in plan.tensors if t.parameter.name not in fresh)
    return {t.name: grower.grow(t.parameter, t.layer, kind, fetch(t.parameter)) for t in tensors}


@pytest.mark.parametrize(("variant", "target", "method"), cases())
def test_the_rule_gives_the_gradient_of_the_grown_model(
    sources: Sources, variant: str, target: Target, method: str
) -> None:
    """Wherever there is a history, and unless the plan calls it an approximation: then it does not."""
    source = sources(variant)
    plan = source.plan(target, method, seed=3)
    state = plan_state(plan, state_headers(plan), 10**9)
    approximate = any("approximation" in note for note in state.notes)
    before = gradients(load(source.path)[0])
    after = gradients(build(plan, grown_tensors(plan, source.reader)))
    floor = 1e-5 * max(float(tensor.abs().max()) for tensor in after.values())
    history = grown(plan, state.fresh, MOMENTS[0], {name: torch.ones_like(tensor) for name, tensor in before.items()})
    for power, kind in enumerate(MOMENTS, start=1):
        moments = grown(plan, state.fresh, kind, {name: tensor**power for name, tensor in before.items()})
        worst = 0.0
        for name in moments:
            true, known = after[name] ** power, history[name] != 0
            scale = max(float(after[name].abs().max()), floor) ** power
            worst = max(worst, float(((moments[name] - true) * known).abs().max()) / scale)
        assert (worst > 1e-9) == approximate
