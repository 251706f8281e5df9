"""Dense models that become mixtures of experts: the same function whatever the router, in stock transformers."""

from collections.abc import Mapping
from pathlib import Path

import pytest
import torch

from growth.errors import ImpossibleTarget, InvalidMethod
from growth.operators.method import Nested
from tests.growth.folders import write_grown
from tests.growth.growing import Source, Target, build, difference, grown_tensors, load, outputs, relative_difference
from tests.growth.variants import Sources
from tests.tiny import tiny

VARIANTS = {
    "llama": "mixtral",
    "llama-tied": "mixtral",
    "llama-head_dim": "mixtral",
    "llama-headless": "mixtral",
    "mistral": "mixtral",
    "mistral-mqa-tied": "mixtral",
    "qwen3": "qwen3_moe",
    "qwen3-tied": "qwen3_moe",
    "qwen3-biases": "qwen3_moe",
    "qwen3-headless": "qwen3_moe",
}
GROWTHS: Mapping[str, tuple[Target, Nested]] = {
    "alone": ({}, "hypercloning"),
    "wide": ({"hidden_size": 64}, {"name": "hypercloning", "snr_db": 10}),
    "padded": ({"hidden_size": 48}, "lemon"),
    "deep": ({"num_hidden_layers": 5}, "identity"),
    "wide-and-deep": ({"hidden_size": 96, "num_hidden_layers": 3}, "net2net"),
}


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize(("target", "method"), GROWTHS.values(), ids=GROWTHS)
@pytest.mark.parametrize("experts", [{"num_local_experts": 4}, {"num_experts": 5, "num_experts_per_tok": 3}])
def test_the_function_stays(sources: Sources, variant: str, target: Target, method: Nested, experts: Target) -> None:
    source = sources(variant)
    plan = source.plan({**target, **experts}, method, seed=3)
    assert plan.function_preserving
    assert plan.target.architecture.model_type == VARIANTS[variant]
    assert f"becomes a {VARIANTS[variant]} model" in plan.notes[-1] + " ".join(plan.notes)
    tensors = grown_tensors(plan, source.reader)
    routers = [tensor for name, tensor in tensors.items() if name.endswith(".gate.weight")]
    assert len(routers) == plan.target.sizes.num_hidden_layers
    assert all(
        len(router) == max(experts["num_local_experts" if len(experts) == 1 else "num_experts"], 1)
        for router in routers
    )
    assert all(bool(router.std() > 0) for router in routers)
    assert difference(source.outputs, outputs(build(plan, tensors))) <= 1e-9


@pytest.mark.parametrize("variant", ["llama-tied", "qwen3"])
def test_written_folder_loads_with_the_same_function(sources: Sources, tmp_path: Path, variant: str) -> None:
    source = sources(variant, torch.float32)
    plan = source.plan({"num_local_experts": 4, "hidden_size": 64}, "hypercloning", max_shard_bytes=200_000)
    model, report = load(write_grown(plan, source.reader, tmp_path / "grown"))
    assert not any(report.values()), report
    assert model.config.model_type == VARIANTS[variant]
    assert relative_difference(source.outputs, outputs(model)) <= 5e-5


def test_experts_are_copies_and_the_router_is_told_by_the_seed(sources: Sources) -> None:
    source = sources("llama")
    first, again, other = (
        grown_tensors(source.plan({"num_local_experts": 3}, "hypercloning", seed=seed), source.reader)
        for seed in (1, 1, 2)
    )
    name = "model.layers.1.block_sparse_moe"
    dense = source.reader.tensor("model.layers.1.mlp.gate_proj.weight").clone()
    assert all(torch.equal(first[f"{name}.experts.{expert}.w1.weight"], dense) for expert in range(3))
    assert torch.equal(first[f"{name}.gate.weight"], again[f"{name}.gate.weight"])
    assert not torch.equal(first[f"{name}.gate.weight"], other[f"{name}.gate.weight"])
    assert float(first[f"{name}.gate.weight"].std()) == pytest.approx(0.02, rel=0.3)


def test_a_token_meets_a_few_experts_alone(sources: Sources) -> None:
    source = sources("llama")
    dense = source.plan({}, "hypercloning").summary()
    few, many = (source.plan({"num_local_experts": count}, "hypercloning").summary()["target"] for count in (4, 8))
    assert few["parameters"] < many["parameters"]
    router = 2 * 32 * 2
    assert many["flops_per_token"] - few["flops_per_token"] == 4 * router
    assert few["flops_per_token"] > dense["target"]["flops_per_token"]
    assert (
        dense["source"]["parameters"]
        == source.plan({"num_local_experts": 4}, "hypercloning").summary()["source"]["parameters"]
    )


def test_what_transformers_takes_for_missing_entries_is_written_out(tmp_path: Path) -> None:
    source = Source.open(tiny(tmp_path, "mistral"))
    raw = {key: value for key, value in source.config.raw.items() if key not in ("sliding_window", "rms_norm_eps")}
    older = type(source.config).from_dict(raw)
    plan = Source(tmp_path, type(source.checkpoint)(older, source.checkpoint.tensors)).plan(
        {"num_local_experts": 4}, "hypercloning"
    )
    assert plan.target.raw["sliding_window"] == 4096
    assert plan.target.raw["rms_norm_eps"] == 1e-6


REFUSED: Mapping[str, tuple[str, Target, str]] = {
    "biases": ("llama-biases", {"num_local_experts": 4}, "attention_bias can't become"),
    "windows": ("qwen3-windows", {"num_local_experts": 4}, "windows in all layers"),
    "other-family": ("gpt2", {"num_local_experts": 4}, "no mixture is made from a gpt2"),
    "mixture": ("mixtral", {"num_local_experts": 8}, "the source has 4 already"),
    "one": ("llama", {"num_local_experts": 1}, "2 to 512"),
    "too-many": ("llama", {"num_local_experts": 10**6}, "2 to 512"),
    "more-than-there-are": ("llama", {"num_local_experts": 2, "num_experts_per_tok": 3}, "there are 2 experts"),
    "for-each-token-alone": ("llama", {"num_experts_per_tok": 3}, "name num_local_experts too"),
}


@pytest.mark.parametrize(("variant", "target", "said"), REFUSED.values(), ids=REFUSED)
def test_what_can_not_become_a_mixture(sources: Sources, variant: str, target: Target, said: str) -> None:
    with pytest.raises(ImpossibleTarget, match=said) as refused:
        sources(variant).plan(target, "hypercloning")
    assert refused.value.field in {f"/target/{key}" for key in target}


@pytest.mark.parametrize(("variant", "target"), [("llama", {"num_local_experts": 4}), ("mixtral", {"hidden_size": 64})])
def test_a_mixture_is_not_fitted(sources: Sources, variant: str, target: Target) -> None:
    with pytest.raises(InvalidMethod, match="mixture of experts"):
        sources(variant).plan(target, "ligo")


def test_auto_grows_experts_alone(sources: Sources) -> None:
    source = sources("llama")
    plan = source.plan({"num_local_experts": 4}, {"name": "auto", "function_preserving": True})
    assert difference(source.outputs, outputs(build(plan, grown_tensors(plan, source.reader)))) <= 1e-9


@pytest.mark.parametrize("method", ["pad", "bert2bert", "random"])
def test_methods_that_change_the_function_say_so(sources: Sources, method: str) -> None:
    source = sources("llama")
    plan = source.plan({"num_local_experts": 4, "hidden_size": 64}, method)
    assert not plan.function_preserving
    assert difference(source.outputs, outputs(build(plan, grown_tensors(plan, source.reader)))) > 1e-3


def test_noise_parts_the_experts_by_as_much_as_asked_for(sources: Sources) -> None:
    source, target = sources("llama"), {"num_local_experts": 3}
    plan = source.plan(target, "hypercloning", expert_noise=0.1)
    assert not plan.function_preserving
    found = grown_tensors(plan, source.reader)
    for part, dense in (("w1", "gate_proj"), ("w2", "down_proj")):
        old = source.reader.tensor(f"model.layers.0.mlp.{dense}.weight").clone()
        added = [found[f"model.layers.0.block_sparse_moe.experts.{expert}.{part}.weight"] - old for expert in range(3)]
        assert all(float(noise.std() / old.std()) == pytest.approx(0.1, rel=0.1) for noise in added)
        assert float(torch.corrcoef(torch.stack([noise.flatten() for noise in added]))[0, 1].abs()) < 0.1
    attention = "model.layers.0.self_attn.q_proj.weight"
    assert torch.equal(found[attention], source.reader.tensor(attention))
    assert difference(source.outputs, outputs(build(plan, found))) > 1e-4


def test_noise_without_experts_is_refused(sources: Sources) -> None:
    with pytest.raises(ImpossibleTarget, match="name num_local_experts") as refused:
        sources("llama").plan({"hidden_size": 64}, "hypercloning", expert_noise=0.1)
    assert refused.value.field == "/expert_noise"
