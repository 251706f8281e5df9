"""From the sizes that a request names to all sizes of the target, or to a refusal with the nearest that works."""

from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from growth.config import MAX_LAYERS, MAX_WIDTH, ModelConfig
from growth.errors import ImpossibleTarget
from growth.operators import parse_method
from growth.operators.method import Nested
from growth.plan import GrowthPlan, make_plan
from growth.target import resolve_target
from tests.growth.growing import Target
from tests.growth.stock import stock_config, stock_model, stock_tensors

SMALL = {"num_hidden_layers": 2, "vocab_size": 50, "max_position_embeddings": 16}
BERT = SMALL | {"model_type": "bert", "hidden_size": 32, "num_attention_heads": 4, "intermediate_size": 128}
GPT2: dict[str, Any] = {"model_type": "gpt2", "n_embd": 32, "n_head": 4, "n_layer": 2, "vocab_size": 50}
LLAMA = BERT | {"model_type": "llama", "num_key_value_heads": 2}
CONFIGS: Mapping[str, ModelConfig] = {
    "bert": stock_config("BertForMaskedLM", BERT),
    "gpt2": stock_config("GPT2LMHeadModel", GPT2),
    "llama": stock_config("LlamaForCausalLM", LLAMA),
    "llama-mha": stock_config("LlamaForCausalLM", LLAMA | {"num_key_value_heads": 4}),
    "llama-mqa": stock_config("LlamaForCausalLM", LLAMA | {"num_key_value_heads": 1}),
    "llama-head_dim": stock_config("LlamaForCausalLM", LLAMA | {"head_dim": 16}),
    "llama-half-head_dim": stock_config("LlamaForCausalLM", LLAMA | {"head_dim": 4}),
}
TENSORS = {name: stock_tensors(config.model_class, dict(config.raw)) for name, config in CONFIGS.items()}
HIDDEN, FFN, HEADS, KV, DIM = (
    "hidden_size",
    "intermediate_size",
    "num_attention_heads",
    "num_key_value_heads",
    "head_dim",
)


def plan(source: str, target: Target, method: Nested) -> GrowthPlan:
    return make_plan(CONFIGS[source], TENSORS[source], target, parse_method(method))


@pytest.mark.parametrize(
    ("source", "target", "derived"),
    [
        pytest.param("bert", {}, {HIDDEN: 32, FFN: 128, HEADS: 4, KV: 4, DIM: 8}, id="nothing"),
        pytest.param("bert", {HIDDEN: 48}, {FFN: 192, HEADS: 6, KV: 6, DIM: 8}, id="bert-head_dim-kept"),
        pytest.param("bert", {HIDDEN: 48, HEADS: 4}, {FFN: 192, KV: 4, DIM: 12}, id="bert-heads-named"),
        pytest.param("bert", {HIDDEN: 64, DIM: 16}, {HEADS: 4, KV: 4, FFN: 256}, id="bert-head_dim-named"),
        pytest.param("bert", {HIDDEN: 48, FFN: 130}, {FFN: 130, HEADS: 6}, id="bert-intermediate-named"),
        pytest.param("bert", {"num_hidden_layers": 5}, {HIDDEN: 32, HEADS: 4}, id="bert-deeper"),
        pytest.param(
            "gpt2", {"n_embd": 48, "n_layer": 3}, {HIDDEN: 48, "num_hidden_layers": 3, FFN: 192}, id="own-keys"
        ),
        pytest.param("gpt2", {"n_embd": 48, HIDDEN: 48}, {HIDDEN: 48}, id="both-keys-agree"),
        pytest.param("llama", {HIDDEN: 48}, {HEADS: 6, KV: 3, DIM: 8, FFN: 192}, id="groups-kept"),
        pytest.param("llama", {HEADS: 8}, {HIDDEN: 32, KV: 4, DIM: 8, FFN: 128}, id="llama-heads-alone"),
        pytest.param("llama", {KV: 4}, {HEADS: 4, DIM: 8}, id="llama-more-groups"),
        pytest.param("llama-mha", {HIDDEN: 48}, {HEADS: 6, KV: 6}, id="mha-stays-mha"),
        pytest.param("llama-mqa", {HIDDEN: 48}, {HEADS: 6, KV: 1}, id="one-group-stays-one"),
        pytest.param("llama-head_dim", {HIDDEN: 64}, {HEADS: 8, KV: 4, DIM: 16}, id="explicit-head_dim-kept"),
        pytest.param("llama-half-head_dim", {HIDDEN: 64}, {HEADS: 8, KV: 4, DIM: 4}, id="half-head_dim-kept"),
    ],
)
def test_what_is_left_out_is_derived(source: str, target: Target, derived: dict[str, int]) -> None:
    assert derived.items() <= resolve_target(CONFIGS[source], target).as_dict().items()


@pytest.mark.parametrize(("hidden", "intermediate"), [(48, 132), (40, 110), (33 * 8, 726)])
def test_intermediate_size_in_proportion_is_rounded_up(hidden: int, intermediate: int) -> None:
    config = stock_config("LlamaForCausalLM", LLAMA | {FFN: 88, KV: 4})
    assert resolve_target(config, {HIDDEN: hidden}).intermediate_size == intermediate


REFUSED: Mapping[str, tuple[str, Target, str, str]] = {
    "narrower": ("bert", {HIDDEN: 16}, HIDDEN, "never shrinks"),
    "zero": ("bert", {HIDDEN: 0}, HIDDEN, "never shrinks"),
    "negative": ("bert", {HIDDEN: -64}, HIDDEN, "never shrinks"),
    "shallower": ("gpt2", {"n_layer": 1}, "n_layer", "num_hidden_layers 1 is smaller"),
    "fewer-heads": ("llama", {HEADS: 2}, HEADS, "never shrinks"),
    "fewer-key-value-heads": ("llama", {HIDDEN: 64, KV: 1}, KV, "never shrinks"),
    "narrower-in-two-ways": ("bert", {HIDDEN: 16, FFN: 64}, HIDDEN, "never shrinks"),
    "larger-vocabulary": ("bert", {"vocab_size": 51}, "vocab_size", "can't grow"),
    "smaller-vocabulary": ("bert", {"vocab_size": 49}, "vocab_size", "never shrinks"),
    "no-whole-head": ("bert", {HIDDEN: 45}, HIDDEN, "whole number of heads"),
    "no-whole-group": ("llama", {HIDDEN: 40}, HIDDEN, "whole number of key/value heads"),
    "heads-do-not-divide": ("bert", {HIDDEN: 64, HEADS: 7}, HEADS, "does not divide"),
    "heads-do-not-divide-llama": ("llama", {HIDDEN: 64, HEADS: 6, KV: 2}, HEADS, "does not divide"),
    "no-heads-divide": ("bert", {HIDDEN: 34, HEADS: 5}, HEADS, "does not divide"),
    "heads-too-small": ("bert", {HIDDEN: 48, HEADS: 8}, HEADS, "can't hold"),
    "heads-and-head_dim-disagree": ("bert", {HIDDEN: 64, HEADS: 4, DIM: 8}, HEADS, "do not make hidden_size 64"),
    "head_dim-alone": ("bert", {DIM: 16}, DIM, "can't hold"),
    "head_dim-does-not-divide": ("gpt2", {"n_embd": 64, DIM: 12}, DIM, "do not make hidden_size 64"),
    "rotary-head_dim": ("llama", {DIM: 16}, DIM, "rotary"),
    "groups-do-not-divide": ("llama", {HIDDEN: 64, HEADS: 8, KV: 3}, KV, "no multiple"),
    "derived-groups-do-not-divide": ("llama", {HIDDEN: 40, HEADS: 5}, KV, "no multiple"),
    "key-value-heads-of-bert": ("bert", {HIDDEN: 64, KV: 4}, KV, "as many key/value heads"),
}


@pytest.mark.parametrize(("source", "target", "field", "said"), REFUSED.values(), ids=REFUSED)
def test_refusals_point_at_the_size_and_name_the_nearest(source: str, target: Target, field: str, said: str) -> None:
    with pytest.raises(ImpossibleTarget, match=said) as refused:
        plan(source, target, "pad")
    assert refused.value.field == f"/target/{field}"
    assert refused.value.nearest
    plan(source, standard(source, target) | refused.value.nearest, "pad")


@pytest.mark.parametrize(
    ("target", "field"),
    [
        pytest.param({"d_model": 64}, "d_model", id="no-such-size"),
        pytest.param({"n_embd": 64}, "n_embd", id="another-family's"),
        pytest.param({"max_position_embeddings": 64}, "max_position_embeddings", id="no-size-that-grows"),
        pytest.param({"x" * 5_000: 64}, "x" * 80, id="a-long-one"),
        pytest.param({HIDDEN: MAX_WIDTH + 1}, HIDDEN, id="too-wide"),
        pytest.param({HIDDEN: 1 << 80}, HIDDEN, id="far-too-wide"),
        pytest.param({"num_hidden_layers": MAX_LAYERS + 1}, "num_hidden_layers", id="too-deep"),
    ],
)
def test_refusals_without_a_nearest(target: Target, field: str) -> None:
    with pytest.raises(ImpossibleTarget) as refused:
        plan("bert", target, "pad")
    assert refused.value.field == f"/target/{field}"
    assert not refused.value.nearest
    assert len(str(refused.value)) < 200


def test_a_size_named_twice_must_agree() -> None:
    with pytest.raises(ImpossibleTarget, match="named twice, as 48 and 64"):
        plan("gpt2", {"n_embd": 48, HIDDEN: 64}, "pad")


@pytest.mark.parametrize(
    "target", [{HIDDEN: MAX_WIDTH // 2}, {HIDDEN: 1 << 17, FFN: MAX_WIDTH, "num_hidden_layers": MAX_LAYERS}], ids=str
)
@pytest.mark.timeout(10)
def test_absurd_sizes_are_refused_before_any_map_is_built(target: Target) -> None:
    with pytest.raises(ImpossibleTarget, match=r"out of bounds|parameters"):
        plan("llama", target, "lemon")


def standard(source: str, target: Target) -> dict[str, int]:
    return {CONFIGS[source].size_key(key) or key: size for key, size in target.items()}


widths = st.integers(30, 200) | st.sampled_from([32, 40, 48, 64, 96, 128])
targets = st.fixed_dictionaries(
    {},
    optional={
        HIDDEN: widths,
        FFN: st.integers(120, 300),
        HEADS: st.integers(3, 24),
        KV: st.integers(1, 12),
        DIM: st.integers(7, 33),
        "num_hidden_layers": st.integers(1, 6),
    },
)
methods = st.sampled_from(["pad", "hypercloning", "lemon", "net2net", "bert2bert", "identity", "random"])


@settings(deadline=None, max_examples=150)
@given(source=st.sampled_from(sorted(CONFIGS)), target=targets, method=methods)
def test_any_target_is_planned_as_transformers_loads_it_or_refused_with_one_that_is(
    source: str, target: dict[str, int], method: str
) -> None:
    try:
        planned = plan(source, target, method)
    except ImpossibleTarget as refusal:
        target = {**target, **refusal.nearest}
        planned = plan(source, target, method)
    found, least = planned.target.sizes.as_dict(), planned.source.sizes.as_dict()
    assert target.items() <= found.items()
    assert all(found[name] >= size for name, size in least.items())
    assert found[HEADS] % found[KV] == found[HIDDEN] % found[HEADS] == 0
    stock_model(planned.target.model_class, dict(planned.target.raw))
