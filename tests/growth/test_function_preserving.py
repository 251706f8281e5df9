"""What a method calls function-preserving computes the source's function in stock transformers, and what the maths
does not allow is refused.

The table of who reaches which target is written down from the maths (residual stream under its norm, attention, depth),
never asked of the code.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from zlib import crc32

import pytest
import torch

from growth.errors import ImpossibleTarget
from growth.operators.method import Nested
from tests.families import FAMILIES, FAMILY_OF
from tests.growth.folders import write_grown
from tests.growth.growing import Target, build, difference, grown_tensors, load, outputs, relative_difference
from tests.growth.variants import Sources

METHODS: Mapping[str, Nested] = {
    "hypercloning": "hypercloning",
    "hypercloning+noise": {"name": "hypercloning", "snr_db": 10},
    "lemon": "lemon",
    "lemon+noise": {"name": "lemon", "split": "even", "snr_db": 10},
    "net2net": "net2net",
    "net2net+noise": {"name": "net2net", "split": "unequal", "snr_db": 10},
    "identity": "identity",
    "identity+lemon": {"name": "identity", "width": "lemon"},
    "identity+hypercloning": {"name": "identity", "width": "hypercloning"},
}

PADS = frozenset({"lemon", "lemon+noise", "net2net", "net2net+noise", "identity+lemon"})
WIDENS = frozenset(METHODS) - {"identity"}
FIRST = [next(iter(family.variants)) for family in FAMILIES.values()]
USUAL = 0.25
"""The share of the cases of a family's further variants that run every time; `make test-exhaustive` runs them all."""


def cases(*, exact: bool, methods: frozenset[str] = frozenset(METHODS)) -> list[Any]:
    """A family's first variant with every method; of its others a fixed share, the rest on demand."""
    return list(_cases(exact, methods))


def _cases(exact: bool, methods: frozenset[str]) -> Iterator[Any]:
    for variant, family in FAMILY_OF.items():
        for name, target in family.targets.items():
            if name in family.variants[variant].without:
                continue
            for method in sorted(methods):
                reached = family.reaches(target, widens=method in WIDENS, pads=method in PADS)
                if reached is exact and not _same_as_alone(method, target.sizes):
                    yield _case(variant, name, target.sizes, method)


def _case(variant: str, name: str, target: Target, method: str) -> Any:
    case = f"{variant}-{name}-{method}"
    usual = variant in FIRST or crc32(case.encode()) < USUAL * 2**32
    return pytest.param(variant, target, METHODS[method], id=case, marks=() if usual else pytest.mark.exhaustive)


def _same_as_alone(method: str, target: Target) -> bool:
    """A depth method with a width method beside it is that width method where no layer is added."""
    return "identity+" in method and "num_hidden_layers" not in target


@pytest.mark.parametrize(("variant", "target", "method"), cases(exact=True))
def test_same_function_in_float64(sources: Sources, variant: str, target: Target, method: Nested) -> None:
    source = sources(variant)
    plan = source.plan(target, method, seed=3)
    assert plan.function_preserving
    summary = plan.summary()
    assert summary["target"]["parameters"] > summary["source"]["parameters"]
    assert difference(source.outputs, outputs(build(plan, grown_tensors(plan, source.reader)))) <= 1e-9


@pytest.mark.parametrize(
    ("variant", "target", "method"), cases(exact=True, methods=frozenset({"hypercloning+noise", "lemon"}))
)
def test_written_folder_loads_with_the_same_function(
    sources: Sources, tmp_path: Path, variant: str, target: Target, method: Nested
) -> None:
    source = sources(variant, torch.float32)
    plan = source.plan(target, method, max_shard_bytes=100_000)
    assert len(plan.shards) > 1
    model, report = load(write_grown(plan, source.reader, tmp_path / "grown"))
    assert not any(report.values()), report
    assert model.dtype is torch.float32
    keys = source.config.architecture.keys
    assert all(getattr(model.config, keys.get(key, key), size) == size for key, size in target.items())
    assert relative_difference(source.outputs, outputs(model)) <= 5e-5


@pytest.mark.parametrize(("variant", "target", "method"), cases(exact=False))
def test_impossible_targets_are_refused_with_the_nearest(
    sources: Sources, variant: str, target: Target, method: Nested
) -> None:
    source = sources(variant)
    with pytest.raises(ImpossibleTarget) as refused:
        source.plan(target, method)
    nearest = refused.value.nearest
    assert nearest
    assert source.plan(source.standard(target) | nearest, method).function_preserving


@pytest.mark.parametrize("variant", FIRST)
@pytest.mark.parametrize(
    ("target", "method"),
    [
        pytest.param({"hidden_size": 64}, "pad", id="pad"),
        pytest.param({"hidden_size": 64}, "bert2bert", id="bert2bert"),
        pytest.param({"hidden_size": 64}, "random", id="random"),
        pytest.param({"num_hidden_layers": 4}, "stack", id="stack"),
        pytest.param({"num_hidden_layers": 4}, "interpolate", id="interpolate"),
        pytest.param({"num_hidden_layers": 4}, "solar", id="solar"),
        pytest.param({"num_hidden_layers": 4}, {"name": "lemon", "depth": "stack"}, id="lemon-stack"),
    ],
)
def test_other_functions_are_not_called_preserved(
    sources: Sources, variant: str, target: Target, method: Nested
) -> None:
    source = sources(variant)
    plan = source.plan(target, method)
    assert not plan.function_preserving
    assert difference(source.outputs, outputs(build(plan, grown_tensors(plan, source.reader)))) > 1e-3


@pytest.mark.parametrize("init", ["pad", "lemon"])
def test_a_fit_promises_nothing_before_it_ran(sources: Sources, init: str) -> None:
    method = {"name": "ligo", "init": init}
    assert not sources("llama").plan({"hidden_size": 64}, method).function_preserving


@pytest.mark.parametrize("method", ["stack", "interpolate", "solar"])
@pytest.mark.parametrize("variant", FIRST)
def test_a_depth_order_that_adds_no_layer_keeps_what_the_width_keeps(
    sources: Sources, variant: str, method: str
) -> None:
    plan = sources(variant).plan({"hidden_size": 64}, {"name": method, "width": "hypercloning"})
    assert plan.function_preserving
