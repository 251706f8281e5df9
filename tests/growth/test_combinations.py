"""Every width method with every depth method, named from either side: one growth, which stock transformers runs."""

from itertools import product
from typing import Any

import pytest

from growth.errors import ImpossibleTarget
from growth.operators import METHODS
from growth.operators.method import DepthMethod, WidthMethod
from tests.families import FAMILY_OF
from tests.growth.growing import build, difference, grown_tensors, outputs
from tests.growth.variants import Sources

WIDTHS = [name for name, method in METHODS.items() if issubclass(method, WidthMethod)]
DEPTHS = [name for name, method in METHODS.items() if issubclass(method, DepthMethod)]
EXACT = {"net2net", "hypercloning", "lemon", "identity"}
TARGET = {"hidden_size": 64, "num_hidden_layers": 4}
VARIANTS = ("bert", "gpt2", "llama")
PAIRS = [pytest.param(v, w, d, id=f"{v}-{w}-{d}") for v, w, d in product(VARIANTS, WIDTHS, DEPTHS)]


def test_there_are_methods_of_both_kinds() -> None:
    assert set(WIDTHS) == {"pad", "net2net", "bert2bert", "hypercloning", "lemon"}
    assert set(DEPTHS) == {"stack", "interpolate", "solar", "identity"}


@pytest.mark.parametrize(("variant", "width", "depth"), PAIRS)
def test_every_pair(sources: Sources, variant: str, width: str, depth: str) -> None:
    source = sources(variant)
    names: list[dict[str, Any]] = [{"name": width, "depth": depth}, {"name": depth, "width": width}]
    if depth == "identity" and not FAMILY_OF[variant].deepens:
        for method in names:
            with pytest.raises(ImpossibleTarget, match="can't be an identity block"):
                source.plan(TARGET, method)
        return
    first, second = (source.plan(TARGET, method, seed=3) for method in names)
    assert first.operator == second.operator
    assert first.target == second.target
    assert first.function_preserving == second.function_preserving == ({width, depth} <= EXACT)
    grown = outputs(build(first, grown_tensors(first, source.reader)))
    assert bool(grown["logits"].isfinite().all())
    assert (difference(source.outputs, grown) <= 1e-9) == first.function_preserving
