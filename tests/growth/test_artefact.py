"""The operator's file: it gives back the operator to the last bit, and takes one that was written elsewhere."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save
from torch import Tensor

from growth.apply import Grower
from growth.checkpoint import raw_bytes
from growth.expand import grown_tensor
from growth.operators.artefact import FORMAT, load_operator, save_operator
from growth.operators.belonging import HEADER_BYTES, most_bytes
from growth.operators.method import Nested
from growth.operators.operator import GrowthOperator
from growth.plan import GrowthPlan
from tests.growth.brute_force import BruteForce, dense
from tests.growth.fit_bench import CLONING, DOUBLE, HALF, MAKERS, fitted
from tests.growth.growing import Source, Target

Told = dict[str, Any]
Tensors = dict[str, Tensor]


def written(source: Source, plan: GrowthPlan, operator: GrowthOperator) -> dict[str, bytes]:
    """Every tensor of the target as it lies on disk."""
    grower = Grower(operator, plan.source, plan.target)
    return {t.name: bytes(raw_bytes(grown_tensor(plan, grower, source.reader, t))) for t in plan.tensors}


@pytest.mark.parametrize(
    ("family", "init", "target", "options"),
    [
        ("llama", "pad", HALF, {}),
        ("gpt2", "lemon", HALF, {}),
        ("llama", {"name": "hypercloning", "snr_db": 20.0}, DOUBLE, {}),
        ("bert", "bert2bert", DOUBLE, {}),
        ("bert", "pad", {"num_hidden_layers": 3}, {}),
        ("gpt2", "lemon", {"hidden_size": 64}, {}),
        ("llama", "pad", HALF, {"share": "layer"}),
        ("bert", "pad", HALF, {"tie": "transposed", "residual_groups": 3}),
        ("gpt2", CLONING, DOUBLE, {"tie": "normalised", "rank": 3}),
        ("llama", "pad", HALF, {"attention": "dense", "residual": False}),
        ("bert", "bert2bert", DOUBLE, {"attention": "dense"}),
        ("gpt2", "pad", HALF, {"share": "layer", "tie": "normalised", "attention": "dense", "rank": 3}),
    ],
    ids=str,
)
def test_what_is_loaded_writes_the_same_bytes(
    family: str, init: Nested, target: Target, options: dict[str, Any], tmp_path: Path
) -> None:
    source = Source.open(MAKERS[family](tmp_path))
    plan = source.plan(target, {"name": "ligo", "init": init, **options}, seed=5)
    for operator in (fitted(plan), plan.operator):
        data = save_operator(operator, plan)
        tensors = len(data) - 8 - int.from_bytes(data[:8], "little")
        assert 0 < tensors <= most_bytes(plan) - HEADER_BYTES
        loaded = load_operator(data, plan)
        assert written(source, plan, loaded) == written(source, plan, operator)
        assert loaded.noise == operator.noise
    assert written(source, plan, fitted(plan)) != written(source, plan, plan.operator)


def test_an_operator_of_float64_weights_keeps_every_bit(tmp_path: Path) -> None:
    source = Source.open(MAKERS["gpt2"](tmp_path, dtype=torch.float64))
    plan = source.plan(HALF, "ligo")
    operator = fitted(plan, torch.float64)
    loaded = load_operator(save_operator(operator, plan), plan)
    grown = [Grower(o, plan.source, plan.target) for o in (operator, loaded)]
    for tensor in plan.tensors:

        def fetch(layer: int | None, row: Any = tensor.parameter) -> Tensor:
            return source.reader.wide(plan.source_tensors[row.tensor_name(layer)].name)

        first, second = (grower.grow(tensor.parameter, tensor.layer, fetch) for grower in grown)
        assert first.dtype is torch.float64
        assert torch.equal(first, second)


def test_an_operator_serves_another_checkpoint_of_its_family(tmp_path: Path) -> None:
    sources = [Source.open(MAKERS["llama"](tmp_path / str(seed), seed=seed)) for seed in (0, 1)]
    method = {"name": "ligo", "init": "pad"}
    fitted_for, other = (source.plan(HALF, method, seed=seed) for seed, source in enumerate(sources))
    operator = fitted(fitted_for)
    loaded = load_operator(save_operator(operator, fitted_for), other)
    assert written(sources[1], other, loaded) == written(sources[1], other, operator)


def random_maps(key: str, target: int, source: int, generator: torch.Generator) -> Tensors:
    """Dense maps for one key, with no relation between them."""
    maps = {
        f"axes/{key}/{name}": torch.randn(target, source, generator=generator)
        for name in ("expand", "contract", "seen", "gain")
    }
    return maps | {f"axes/{key}/new": torch.zeros(target, dtype=torch.bool)}


def operator_from_outside(plan: GrowthPlan) -> Tensors:
    """A file's tensors by the documentation alone: own maps for modules, own depth matrices for parameters."""
    generator = torch.Generator().manual_seed(11)
    tensors: Tensors = {}
    for key in (
        "hidden",
        "hidden@bert.encoder.layer.{layer}.output.dense",
        "hidden@bert.encoder.layer.2.output.dense",
        "hidden@cls.predictions.transform.LayerNorm",
    ):
        tensors |= random_maps(key, 48, 32, generator)
    for key in ("heads", "heads@bert.encoder.layer.1.attention.self.query"):
        tensors |= random_maps(key, 6, 4, generator)
    for key in ("intermediate", "intermediate@bert.encoder.layer.0.intermediate.dense"):
        tensors |= random_maps(key, 192, 128, generator)
    tensors["axes/hidden/gain_fill"] = torch.randn(48, generator=generator, dtype=torch.float64)
    sparse = "axes/hidden@bert.embeddings.token_type_embeddings"
    for name in ("expand", "contract", "seen", "gain"):
        tensors[f"{sparse}/{name}.index"] = torch.tensor([*range(32), *[-1] * 8, *[-2] * 8])
        tensors[f"{sparse}/{name}.weight"] = torch.rand(48, generator=generator, dtype=torch.float64)
    tensors[f"{sparse}/new"] = torch.ones(48, dtype=torch.bool)
    for key in ("*", "*writes", "bert.encoder.layer.{layer}.attention.self.value.weight"):
        tensors[f"depth/{key}"] = torch.randn(3, 2, generator=generator)
    assert plan.target.sizes.num_hidden_layers == 3
    return tensors


def told_from_outside(plan: GrowthPlan) -> Told:
    return {
        "format": FORMAT,
        "model_type": "bert",
        "source": plan.source.sizes.as_dict(),
        "target": plan.target.sizes.as_dict(),
        "method": {"name": "by hand"},
        "seed": 0,
        "readout_scale": 0.25,
        "epsilon_scale": 1.0,
        "noise": None,
        "sparse_depth": [],
    }


def matrices_of(tensors: Mapping[str, Tensor]) -> Tensors:
    """The same as dense matrices in float64."""

    class Row:
        source_size = 32

    matrices = {}
    for name, tensor in tensors.items():
        if name.endswith(".index"):
            row: Any = Row()
            row.index, row.weight = tensor.tolist(), tensors[name.replace(".index", ".weight")].tolist()
            matrices[name.removesuffix(".index")] = dense(row)
        else:
            matrices[name] = tensor.double()
    return matrices


def test_an_operator_written_from_outside_grows_each_module_by_its_own_maps(tmp_path: Path) -> None:
    source = Source.open(MAKERS["bert"](tmp_path, dtype=torch.float64))
    plan = source.plan(HALF, "ligo")
    tensors = operator_from_outside(plan)
    data = save(tensors, metadata={"operator": json.dumps(told_from_outside(plan))})
    grower = Grower(load_operator(data, plan), plan.source, plan.target)
    weights = {name: source.reader.wide(info.name) for name, info in plan.source_tensors.items()}
    expected = BruteForce(plan, matrices_of(tensors), readout_scale=0.25, noisy=False).weights(weights)
    assert set(expected) == {tensor.name for tensor in plan.tensors}
    for tensor in plan.tensors:

        def fetch(layer: int | None, row: Any = tensor.parameter) -> Tensor:
            return weights[row.tensor_name(layer)]

        grown = grower.grow(tensor.parameter, tensor.layer, fetch)
        torch.testing.assert_close(grown, expected[tensor.name], rtol=1e-12, atol=1e-12)
