"""SOLAR's order of layers: the source twice, less the layers around the seam; only even targets up to twice as deep."""

from pathlib import Path

import pytest
import torch

from growth.errors import ImpossibleTarget
from growth.operators.method import Nested
from tests.growth.growing import Source, build, grown_tensors, outputs
from tests.tiny import tiny

LAYERS = 4


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Source:
    """A Llama of 4 layers."""
    folder = tmp_path_factory.mktemp("solar") / "source"
    return Source.open(tiny(folder, "llama", dtype=torch.float64, num_hidden_layers=LAYERS))


@pytest.mark.parametrize(
    ("layers", "order"),
    [pytest.param(6, (0, 1, 2, 1, 2, 3), id="6"), pytest.param(8, (0, 1, 2, 3, 0, 1, 2, 3), id="8-as-stack")],
)
@pytest.mark.parametrize("method", ["solar", {"name": "pad", "depth": "solar"}], ids=str)
def test_layers_around_the_seam_are_dropped(
    source: Source, method: Nested, layers: int, order: tuple[int, ...]
) -> None:
    plan = source.plan({"num_hidden_layers": layers}, method)
    assert not plan.function_preserving
    tensors = grown_tensors(plan, source.reader)
    layered = [name for name in tensors if ".layers.0." in name]
    assert len(layered) == 9
    for target, copied in enumerate(order):
        for name in layered:
            old, new = (name.replace(".0.", f".{layer}.", 1) for layer in (copied, target))
            assert torch.equal(tensors[new], source.reader.tensor(old)), new
    assert bool(outputs(build(plan, tensors))["logits"].isfinite().all())


@pytest.mark.parametrize(("layers", "nearest"), [(5, 6), (7, 8), (9, 8), (10, 8), (12, 8)])
@pytest.mark.parametrize("method", ["solar", {"name": "lemon", "depth": "solar"}], ids=str)
def test_other_depths_are_refused_with_the_nearest(source: Source, method: Nested, layers: int, nearest: int) -> None:
    with pytest.raises(ImpossibleTarget, match=f"can't make {layers} layers of 4") as refused:
        source.plan({"hidden_size": 32, "num_hidden_layers": layers}, method)
    assert refused.value.field == "/target/num_hidden_layers"
    assert refused.value.nearest == {"num_hidden_layers": nearest}
    source.plan({"num_hidden_layers": nearest}, method)


def test_a_single_layer_is_stacked(tmp_path: Path) -> None:
    single = Source.open(tiny(tmp_path / "single", "gpt2", n_layer=1))
    assert single.plan({"n_layer": 2}, "solar").operator == single.plan({"n_layer": 2}, "stack").operator
    with pytest.raises(ImpossibleTarget) as refused:
        single.plan({"n_layer": 3}, "solar")
    assert refused.value.nearest == {"num_hidden_layers": 2}


def test_a_target_without_new_layers_is_the_source(source: Source) -> None:
    plan = source.plan({}, "solar")
    assert plan.function_preserving
    assert all(torch.equal(t, source.reader.tensor(name)) for name, t in grown_tensors(plan, source.reader).items())
