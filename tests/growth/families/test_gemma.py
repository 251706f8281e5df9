"""Gemmas: what their configs leave out, layer types of deeper models, and gains that keep their bits."""

from collections.abc import Mapping
from typing import Any

import pytest
import torch
import transformers

from growth.config import ModelConfig
from growth.errors import InvalidConfig
from growth.operators import parse_method
from growth.plan import make_plan
from tests.growth.growing import grown_tensors
from tests.growth.stock import stock_config, stock_tensors
from tests.growth.variants import Sources

GEMMA: dict[str, Any] = {
    "model_type": "gemma",
    "hidden_size": 96,
    "intermediate_size": 64,
    "num_hidden_layers": 7,
    "num_attention_heads": 16,
    "vocab_size": 50,
}
GEMMA2 = GEMMA | {"model_type": "gemma2"}
GEMMA3 = GEMMA | {"model_type": "gemma3_text"}
HUB = {
    "gemma": GEMMA,
    "gemma2": GEMMA2,
    "gemma3_text": GEMMA3,
    "gemma3_text-pattern": GEMMA3 | {"sliding_window_pattern": 3},
}
HEADED = {"gemma": "GemmaForCausalLM", "gemma2": "Gemma2ForCausalLM", "gemma3_text": "Gemma3ForCausalLM"}


def stock_of(raw: Mapping[str, Any]) -> Any:
    return transformers.AutoConfig.for_model(**raw)


@pytest.mark.parametrize("raw", HUB.values(), ids=HUB)
def test_what_the_config_leaves_out_is_what_transformers_takes(raw: dict[str, Any]) -> None:
    config, stock = ModelConfig.from_dict(raw), stock_of(raw)
    assert config.sizes.num_key_value_heads == stock.num_key_value_heads
    assert config.sizes.head_dim == stock.head_dim == 256
    assert config.tied is stock.tie_word_embeddings is True
    assert config.epsilon == stock.rms_norm_eps
    kind = HEADED[raw["model_type"]]
    plan = make_plan(
        stock_config(kind, raw), stock_tensors(kind, raw), {"hidden_size": 192}, parse_method("hypercloning")
    )
    assert plan.function_preserving
    assert stock_of(plan.target.raw).head_dim == 256


@pytest.mark.parametrize("raw", [raw for name, raw in HUB.items() if name != "gemma"], ids=lambda r: r["model_type"])
def test_copied_layers_keep_their_kind_of_attention(raw: dict[str, Any]) -> None:
    kind, stock = HEADED[raw["model_type"]], stock_of(raw).layer_types
    plan = make_plan(
        stock_config(kind, raw), stock_tensors(kind, raw), {"num_hidden_layers": 14}, parse_method("identity")
    )
    doubled = [layer_type for layer_type in stock for _ in range(2)]
    assert plan.target.raw["layer_types"] == doubled
    assert stock_of(plan.target.raw).layer_types == doubled


@pytest.mark.parametrize(
    ("raw", "said"),
    [
        pytest.param(GEMMA2 | {"layer_types": ["full_attention"] * 6}, "layer_types for each of its 7", id="short"),
        pytest.param(GEMMA2 | {"layer_types": "full_attention"}, "layer_types for each", id="text"),
        pytest.param(GEMMA3 | {"sliding_window_pattern": 0}, "sliding_window_pattern 0", id="no-pattern"),
        pytest.param(GEMMA3 | {"sliding_window_pattern": "L"}, "sliding_window_pattern 'L'", id="pattern-text"),
    ],
)
def test_what_can_not_be(raw: dict[str, Any], said: str) -> None:
    with pytest.raises(InvalidConfig, match=said):
        ModelConfig.from_dict(raw)


@pytest.mark.parametrize("target", [{"num_hidden_layers": 3}, {"intermediate_size": 99}, {"hidden_size": 64}], ids=str)
def test_gains_that_are_copied_keep_every_bit(sources: Sources, target: dict[str, int]) -> None:
    source = sources("gemma2-untied", torch.float32)
    plan = source.plan(target, "hypercloning")
    name = "model.layers.1.post_feedforward_layernorm.weight"
    grown = grown_tensors(plan, source.reader)[name.replace("1", str(plan.target.sizes.num_hidden_layers - 1))]
    gain = source.reader.tensor(name)
    assert torch.equal(grown, gain.repeat(len(grown) // len(gain)))


def test_random_units_are_as_large_as_the_old_ones_once_scaled(sources: Sources) -> None:
    source = sources("gemma")
    grown = grown_tensors(source.plan({"hidden_size": 128}, "pad"), source.reader)["model.embed_tokens.weight"]
    assert float(grown[:, 32:].std()) == pytest.approx(float(grown[:, :32].std()), rel=0.05)
