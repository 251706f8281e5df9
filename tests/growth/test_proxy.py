"""Proxies of a target: sizes in proportion, configs that are valid, and refusals with the nearest ratio that works."""

from math import gcd

import pytest
from hypothesis import given
from hypothesis import strategies as st

from growth.config import ModelConfig
from growth.errors import ImpossibleProxy
from growth.mutransfer import transfer
from growth.proxy import check_proxy, derive_proxy
from growth.untrained import untrained_source

LLAMA = {
    "model_type": "llama",
    "hidden_size": 768,
    "intermediate_size": 2050,
    "num_hidden_layers": 6,
    "num_attention_heads": 12,
    "num_key_value_heads": 4,
    "vocab_size": 1000,
}
GEMMA2 = {
    "model_type": "gemma2",
    "hidden_size": 128,
    "intermediate_size": 256,
    "num_hidden_layers": 4,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 64,
    "vocab_size": 100,
    "layer_types": ["sliding_attention", "full_attention"] * 2,
}


def config(**changes: object) -> ModelConfig:
    return ModelConfig.from_dict({**LLAMA, **changes})


def test_sizes_are_divided_and_head_dim_stays() -> None:
    proxy = derive_proxy(config(), 4, 2)
    assert proxy.sizes.as_dict() == {
        "hidden_size": 192,
        "intermediate_size": 513,
        "num_hidden_layers": 2,
        "num_attention_heads": 3,
        "num_key_value_heads": 1,
        "head_dim": 64,
        "vocab_size": 1000,
    }
    assert ModelConfig.from_dict(proxy.raw).sizes == proxy.sizes


def test_a_single_key_value_head_stays() -> None:
    proxy = derive_proxy(config(num_key_value_heads=1), 6)
    assert (proxy.sizes.num_attention_heads, proxy.sizes.num_key_value_heads) == (2, 1)
    assert proxy.sizes.num_hidden_layers == 6


def test_lists_with_an_entry_for_each_layer_are_cut() -> None:
    proxy = derive_proxy(ModelConfig.from_dict(GEMMA2), 2, 3)
    assert proxy.raw["layer_types"] == ["sliding_attention", "full_attention", "sliding_attention"]
    assert proxy.sizes.head_dim == 64
    untrained_source(proxy.raw)


@pytest.mark.parametrize(("ratio", "nearest"), [(3, 2), (8, 4), (1000, 4)])
def test_a_ratio_that_does_not_divide_is_refused_with_the_nearest(ratio: int, nearest: int) -> None:
    with pytest.raises(ImpossibleProxy, match="1, 2, 4") as refused:
        derive_proxy(config(), ratio)
    assert refused.value.nearest == {"width_ratio": nearest}
    assert refused.value.field == "/proxy/width_ratio"


def test_a_deeper_proxy_is_refused() -> None:
    with pytest.raises(ImpossibleProxy) as refused:
        derive_proxy(config(), 2, 7)
    assert refused.value.nearest == {"num_hidden_layers": 6}


@given(heads=st.integers(1, 24), head_dim=st.sampled_from([2, 8, 64]), ratio=st.integers(1, 30))
def test_whatever_is_derived_can_be_trained_and_transferred(heads: int, head_dim: int, ratio: int) -> None:
    target = config(hidden_size=heads * head_dim, num_attention_heads=heads, num_key_value_heads=heads)
    try:
        proxy = derive_proxy(target, ratio)
    except ImpossibleProxy as refused:
        assert gcd(heads, ratio) != ratio
        proxy = derive_proxy(target, refused.nearest["width_ratio"])
    untrained_source(proxy.raw)
    assert transfer(proxy, target).parameters


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"vocab_size": 999}, {"vocab_size": 1000}),
        ({"hidden_size": 1536}, {"hidden_size": 768, "head_dim": 64}),
        ({"num_hidden_layers": 8}, {"num_hidden_layers": 6}),
    ],
)
def test_a_proxy_that_is_no_smaller_model_is_refused(changes: dict[str, int], told: dict[str, int]) -> None:
    with pytest.raises(ImpossibleProxy) as refused:
        check_proxy(config(**changes), config())
    assert refused.value.nearest == told


def test_a_proxy_of_another_family_is_refused() -> None:
    with pytest.raises(ImpossibleProxy, match="gemma2"):
        check_proxy(ModelConfig.from_dict(GEMMA2), config())
