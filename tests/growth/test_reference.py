"""Every method's tensors against dense matrices in float64, function-preserving or not."""

from collections.abc import Mapping
from math import sqrt
from typing import Any

import pytest
import torch
import transformers
from torch import Tensor

from growth.operators.method import Nested
from growth.plan import GrowthPlan
from tests.families import FAMILY_OF
from tests.growth.definitions import (
    ORDERS,
    SILENT,
    Definition,
    drawn_axes,
    fresh,
    grown,
    hypercloning_axes,
    padded_axes,
)
from tests.growth.growing import Source, Target, grown_tensors
from tests.growth.variants import Sources

# Every axis grows, each by another factor: hidden 3x, heads and head_dim or key/value heads, intermediate, layers 2.5x.
WIDE: Mapping[str, Target] = {
    "bert": {"hidden_size": 96, "num_attention_heads": 6, "intermediate_size": 300, "num_hidden_layers": 5},
    "gpt2": {"hidden_size": 96, "num_attention_heads": 6, "intermediate_size": 300, "num_hidden_layers": 5},
    "llama": {
        "hidden_size": 96,
        "num_attention_heads": 24,
        "num_key_value_heads": 6,
        "intermediate_size": 200,
        "num_hidden_layers": 5,
    },
}
FRACTIONAL: Target = {"hidden_size": 48, "intermediate_size": 150, "num_hidden_layers": 5}
VARIANTS = (
    "bert",
    "bert-untied",
    "bert-headless",
    "gpt2",
    "gpt2-untied",
    "llama-biases",
    "llama-tied",
    "llama-mha",
    "llama-mqa-tied",
    "llama-head_dim",
)


def depths(variant: str) -> list[str]:
    """The orders of layers that a variant can take: blocks of a post-LN family can't be identities."""
    return [depth for depth in ORDERS if depth != "identity" or FAMILY_OF[variant].deepens]


def assert_equal(found: Mapping[str, Tensor], expected: Mapping[str, Tensor]) -> None:
    assert found.keys() == expected.keys()
    for name, tensor in expected.items():
        assert found[name].shape == tensor.shape, name
        assert float((found[name] - tensor).abs().max()) <= 1e-12, name


def weights(source: Source) -> dict[str, Tensor]:
    """The source's tensors under the names of the headed classes."""
    prefix = f"{source.config.architecture.base_prefix}."
    bare = not any(name.startswith(prefix) for name in source.checkpoint.tensors)
    return {(prefix if bare else "") + name: source.reader.tensor(name) for name in source.checkpoint.tensors}


def definition(plan: GrowthPlan, axes: Mapping[str, Mapping[str, Tensor]], depth: str, **more: Any) -> Definition:
    """`axes` with the layers of `depth`; the norm before a tied head makes up for copies of `hidden`."""
    deeper = plan.target.sizes.num_hidden_layers == 5
    order = ORDERS[depth] if deeper else range(plan.source.sizes.num_hidden_layers)
    return Definition(axes, order, SILENT[depth] if deeper else (), **more)


def readout(plan: GrowthPlan) -> float:
    """One over the copies of `hidden`, where a tied head would count them all."""
    tied = plan.source.headed and plan.source.tied
    return plan.source.sizes.hidden_size / plan.target.sizes.hidden_size if tied else 1.0


def reference(source: Source, plan: GrowthPlan, found: Definition) -> dict[str, Tensor]:
    return grown(source.config.architecture.model_type, source.config.sizes, weights(source), found)


@pytest.mark.parametrize(("variant", "depth"), [(v, d) for v in VARIANTS for d in depths(v)])
def test_hypercloning(sources: Sources, variant: str, depth: str) -> None:
    source, family = sources(variant), FAMILY_OF[variant].model_type
    plan = source.plan(WIDE[family], {"name": "hypercloning", "depth": depth})
    axes = hypercloning_axes(plan.source.sizes, plan.target.sizes)
    expected = reference(source, plan, definition(plan, axes, depth, readout=readout(plan)))
    assert_equal(grown_tensors(plan, source.reader), expected)


@pytest.mark.parametrize(("variant", "depth"), [(v, d) for v in ("bert", "gpt2", "llama-biases") for d in depths(v)])
def test_depth_alone(sources: Sources, variant: str, depth: str) -> None:
    source = sources(variant)
    plan = source.plan({"num_hidden_layers": 5}, depth)
    assert_equal(grown_tensors(plan, source.reader), reference(source, plan, definition(plan, {}, depth)))


@pytest.mark.parametrize("method", ["lemon", "net2net"])
@pytest.mark.parametrize("variant", VARIANTS)
def test_drawn_copies(sources: Sources, variant: str, method: str) -> None:
    source = sources(variant)
    plan = source.plan(WIDE[FAMILY_OF[variant].model_type], {"name": method, "depth": "stack"}, seed=5)
    axes = drawn_axes(plan.operator)
    assert_equal(
        grown_tensors(plan, source.reader),
        reference(source, plan, definition(plan, axes, "stack", readout=readout(plan))),
    )


@pytest.mark.parametrize("variant", [v for v in VARIANTS if FAMILY_OF[v].deepens])
def test_padded_stream(sources: Sources, variant: str) -> None:
    source = sources(variant)
    plan = source.plan(FRACTIONAL, {"name": "lemon", "noise": 0.0})
    stream = drawn_axes(plan.operator) | {"hidden": padded_stream(plan.source.architecture.norm.kind == "layernorm")}
    assert_equal(grown_tensors(plan, source.reader), reference(source, plan, definition(plan, stream, "identity")))
    key = plan.source.architecture.norm.epsilon_key
    assert plan.target.raw[key] == pytest.approx(plan.source.epsilon * 32 / 48, rel=1e-15)


def padded_stream(layernorm: bool) -> dict[str, Tensor]:
    """`hidden` 32 -> 48: new units hold the mean under LayerNorm, zero under RMSNorm, and are silent after the norm."""
    old = torch.eye(48, 32, dtype=torch.float64)
    mean = old.clone()
    mean[32:] = 1 / 32
    return {"E": mean if layernorm else old, "C": old, "S": old, "G": mean * sqrt(32 / 48)}


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("ratio", ["integer", "fractional"])
def test_bert2bert_takes_new_rows_from_the_next_layer(sources: Sources, variant: str, ratio: str) -> None:
    source = sources(variant)
    target = WIDE[FAMILY_OF[variant].model_type] if ratio == "integer" else FRACTIONAL
    plan = source.plan(target, "bert2bert", seed=5)
    found = definition(plan, drawn_axes(plan.operator), "stack", readout=readout(plan), from_next_layer=True)
    assert_equal(grown_tensors(plan, source.reader), reference(source, plan, found))


def test_bert2bert_of_one_layer_copies_a_unit_from_the_layer_above(sources: Sources) -> None:
    source = sources("bert")
    plan = source.plan({"intermediate_size": 129}, "bert2bert")
    picked = plan.operator.axes["intermediate"].expand
    row = picked.index[128]  # type: ignore[attr-defined]
    name = "bert.encoder.layer.{}.intermediate.dense.weight"
    new = grown_tensors(plan, source.reader)[name.format(0)]
    assert torch.equal(new[:128], source.reader.tensor(name.format(0)))
    assert torch.equal(new[128], source.reader.tensor(name.format(1))[row])


@pytest.mark.parametrize("ratio", ["integer", "fractional"])
@pytest.mark.parametrize("variant", [v for v in VARIANTS if v != "llama-head_dim"])
def test_pad(sources: Sources, variant: str, ratio: str) -> None:
    source, family = sources(variant), FAMILY_OF[variant].model_type
    plan = source.plan(WIDE[family] if ratio == "integer" else FRACTIONAL, "pad", seed=5)
    hidden, wide = plan.source.sizes.hidden_size, plan.target.sizes.hidden_size
    fill = torch.cat([torch.zeros(hidden), torch.ones(wide - hidden)]).double()
    found = definition(plan, padded_axes(plan.source.sizes, plan.target.sizes), "stack", fill=fill)
    tensors = grown_tensors(plan, source.reader)
    masks = fresh(family, plan.source.sizes, list(tensors), found)
    drawn = [float(t[masks[n].expand_as(t)].abs().min()) for n, t in tensors.items() if bool(masks[n].any())]
    assert drawn
    assert min(drawn) > 0
    kept = {name: tensor.masked_fill(masks[name], 0.0) for name, tensor in tensors.items()}
    assert_equal(kept, reference(source, plan, found))


@pytest.mark.parametrize("variant", ["bert", "bert-headless", "gpt2", "gpt2-untied", "llama-biases", "llama-tied"])
def test_random_has_the_statistics_of_a_fresh_model(sources: Sources, variant: str) -> None:
    source = sources(variant)
    plan = source.plan({"hidden_size": 128, "num_hidden_layers": 6}, "random")
    found = grown_tensors(plan, source.reader)
    stock = stock_tensors(plan)
    assert found.keys() == stock.keys()
    for name, tensor in stock.items():
        assert found[name].shape == tensor.shape, name
        if tensor.ndim == 1:
            assert torch.equal(found[name], tensor), name
        else:
            tolerance = 5 / sqrt(tensor.numel())
            assert float(found[name].std()) == pytest.approx(float(tensor.std()), rel=tolerance), name
            assert abs(float(found[name].mean())) < tolerance * float(tensor.std()), name


def stock_tensors(plan: GrowthPlan) -> dict[str, Tensor]:
    """The tensors of the target as transformers initialises it, under the names of the headed classes."""
    raw = dict(plan.target.raw)
    model = getattr(transformers, plan.target.model_class)(
        transformers.AutoConfig.for_model(str(raw.pop("model_type")), **raw)
    )
    prefix = plan.target.architecture.base_prefix
    bare = "" if hasattr(model, prefix) else f"{prefix}."
    return {bare + name: parameter.detach() for name, parameter in model.named_parameters()}


@pytest.mark.parametrize("init", ["pad", "hypercloning", {"name": "lemon", "depth": "stack"}], ids=str)
def test_ligo_starts_from_the_method_it_names(sources: Sources, init: Nested) -> None:
    source = sources("llama")
    fitted = source.plan(WIDE["llama"], {"name": "ligo", "init": init, "residual_groups": 1}, seed=2)
    plain = source.plan(WIDE["llama"], init, seed=2)
    assert_equal(grown_tensors(fitted, source.reader), grown_tensors(plain, source.reader))
