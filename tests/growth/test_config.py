"""config.json from strangers: its sizes read as transformers reads them, or refused in one sentence."""

import json
from typing import Any

import pytest
import transformers
from hypothesis import given, settings
from hypothesis import strategies as st

from growth.architectures import ARCHITECTURES
from growth.config import MAX_CONFIG_BYTES, MAX_LAYERS, MAX_WIDTH, ModelConfig
from growth.errors import GrowthError, InvalidConfig, UnknownArchitecture

BERT: dict[str, Any] = {
    "model_type": "bert",
    "hidden_size": 32,
    "intermediate_size": 128,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "vocab_size": 300,
}
GPT2: dict[str, Any] = {"model_type": "gpt2", "n_embd": 32, "n_layer": 2, "n_head": 4, "vocab_size": 300}
LLAMA: dict[str, Any] = BERT | {"model_type": "llama", "num_key_value_heads": 2}
FAMILIES = {"bert": BERT, "gpt2": GPT2, "llama": LLAMA}


def parse(raw: object) -> ModelConfig:
    return ModelConfig.parse(json.dumps(raw).encode())


@pytest.mark.parametrize("raw", FAMILIES.values(), ids=FAMILIES)
def test_sizes_are_those_of_transformers(raw: dict[str, Any]) -> None:
    sizes, stock = parse(raw).sizes, transformers.AutoConfig.for_model(**raw)
    for name in ("hidden_size", "num_hidden_layers", "num_attention_heads", "vocab_size"):
        assert getattr(sizes, name) == getattr(stock, name)
    assert sizes.num_key_value_heads == getattr(stock, "num_key_value_heads", stock.num_attention_heads)
    assert sizes.head_dim == getattr(stock, "head_dim", stock.hidden_size // stock.num_attention_heads)
    assert sizes.intermediate_size == (getattr(stock, "n_inner", None) or getattr(stock, "intermediate_size", 128))


@pytest.mark.parametrize("raw", FAMILIES.values(), ids=FAMILIES)
def test_defaults_are_those_of_transformers(raw: dict[str, Any]) -> None:
    config, stock = parse(raw), transformers.AutoConfig.for_model(**raw)
    assert config.tied == stock.tie_word_embeddings
    assert config.epsilon == getattr(stock, config.architecture.norm.epsilon_key)
    assert config.initializer_range == stock.initializer_range
    assert config.sizes.fixed["labels"] == stock.num_labels
    assert config.sizes.fixed.get("positions", stock.max_position_embeddings) == stock.max_position_embeddings


REQUIRED = [
    *((family, key) for family in ("bert", "llama") for key in BERT if key != "model_type"),
    *(("gpt2", key) for key in GPT2 if key != "model_type"),
]


@pytest.mark.parametrize(("family", "key"), REQUIRED, ids=lambda value: value)
@pytest.mark.parametrize(
    ("value", "said"),
    [
        pytest.param(None, "has no ", id="null"),
        pytest.param("32", "whole number", id="text"),
        pytest.param(32.0, "whole number", id="float"),
        pytest.param(True, "whole number", id="bool"),
        pytest.param([32], "whole number", id="list"),
        pytest.param({"a": 1}, "whole number", id="object"),
        pytest.param(-32, "out of bounds", id="negative"),
        pytest.param(1 << 62, "out of bounds", id="huge"),
        pytest.param(10**5000, "not valid JSON", id="too-many-digits"),
    ],
)
def test_every_size_must_be_a_whole_number_within_bounds(family: str, key: str, value: object, said: str) -> None:
    text = json.dumps(FAMILIES[family] | {key: "VALUE"})
    written = "1" + "0" * 5000 if isinstance(value, int) and value > 1 << 100 else json.dumps(value)
    with pytest.raises(InvalidConfig, match=said) as refused:
        ModelConfig.parse(text.replace('"VALUE"', written).encode())
    assert len(str(refused.value)) < 300


@pytest.mark.parametrize(("family", "key"), REQUIRED, ids=lambda value: value)
def test_every_size_must_be_there(family: str, key: str) -> None:
    with pytest.raises(InvalidConfig, match=f"no {key}"):
        parse({name: value for name, value in FAMILIES[family].items() if name != key})


@pytest.mark.parametrize(("family", "key"), [r for r in REQUIRED if r[1] != "vocab_size"], ids=lambda value: value)
def test_no_size_may_be_zero(family: str, key: str) -> None:
    with pytest.raises(InvalidConfig, match=r"must lie between|is not a multiple"):
        parse(FAMILIES[family] | {key: 0})


@pytest.mark.parametrize(
    ("raw", "said"),
    [
        pytest.param(BERT | {"num_attention_heads": 5}, "32 is not a multiple of 5", id="heads-do-not-divide"),
        pytest.param(LLAMA | {"num_key_value_heads": 3}, "4 is not a multiple of 3", id="groups-do-not-divide"),
        pytest.param(LLAMA | {"num_key_value_heads": 0}, "4 is not a multiple of 0", id="no-key-value-heads"),
        pytest.param(LLAMA | {"num_key_value_heads": 8}, "4 is not a multiple of 8", id="more-groups-than-heads"),
        pytest.param(BERT | {"num_hidden_layers": MAX_LAYERS + 1}, "must lie between", id="too-many-layers"),
        pytest.param(BERT | {"hidden_size": 4 * MAX_WIDTH}, "must lie between", id="too-wide"),
        pytest.param(BERT | {"layer_norm_eps": "small"}, "layer_norm_eps", id="epsilon-text"),
        pytest.param(BERT | {"layer_norm_eps": True}, "layer_norm_eps", id="epsilon-bool"),
        pytest.param(BERT | {"layer_norm_eps": float("nan")}, "layer_norm_eps nan", id="epsilon-nan"),
        pytest.param(LLAMA | {"rms_norm_eps": float("inf")}, "rms_norm_eps inf", id="epsilon-infinite"),
        pytest.param(LLAMA | {"rms_norm_eps": -1e-6}, "rms_norm_eps", id="epsilon-negative"),
        pytest.param(GPT2 | {"layer_norm_epsilon": None}, "layer_norm_epsilon", id="epsilon-null"),
        pytest.param(GPT2 | {"initializer_range": float("nan")}, "initializer_range", id="initializer-nan"),
        pytest.param(GPT2 | {"initializer_range": -0.02}, "initializer_range", id="initializer-negative"),
        pytest.param(GPT2 | {"scale_attn_weights": False}, "scale_attn_weights", id="attention-unscaled"),
        pytest.param(
            GPT2 | {"scale_attn_by_inverse_layer_idx": True},
            "scale_attn_by_inverse_layer_idx",
            id="attention-scaled-by-layer",
        ),
    ],
)
def test_what_can_not_be(raw: dict[str, Any], said: str) -> None:
    with pytest.raises(InvalidConfig, match=said):
        parse(raw)


@pytest.mark.parametrize(
    ("data", "said"),
    [
        pytest.param(b"", "not valid JSON", id="empty"),
        pytest.param(b"{", "not valid JSON", id="cut"),
        pytest.param(b"\xff\xfe\xff", "not valid JSON", id="no-utf8"),
        pytest.param(b"[" * 100_000, "not valid JSON", id="deep"),
        pytest.param(b"[]", "must hold a JSON object", id="list"),
        pytest.param(b"null", "must hold a JSON object", id="null"),
        pytest.param(b" " * (MAX_CONFIG_BYTES + 1), "at most", id="too-long"),
    ],
)
def test_what_is_no_config(data: bytes, said: str) -> None:
    with pytest.raises(InvalidConfig, match=said):
        ModelConfig.parse(data)


@pytest.mark.parametrize(
    "model_type", ["mamba", "BERT", "", None, 3, ["bert"], "x" * 10_000], ids=lambda v: repr(v)[:9]
)
def test_families_without_a_table(model_type: object) -> None:
    with pytest.raises(UnknownArchitecture) as refused:
        parse(BERT | {"model_type": model_type})
    assert len(str(refused.value)) < 200
    assert refused.value.hint is not None
    assert all(family in refused.value.hint for family in ARCHITECTURES)


@pytest.mark.parametrize(
    "named", [None, [], "BertForMaskedLM", [3], {}, [None]], ids=["null", "empty", "text", "number", "object", "none"]
)
def test_without_a_named_class_it_is_the_bare_model(named: object) -> None:
    config = parse(BERT | {"architectures": named})
    assert config.model_class == ""
    assert not config.headed


@settings(deadline=None)
@given(
    family=st.sampled_from(sorted(FAMILIES)),
    changes=st.dictionaries(
        st.sampled_from(
            [*LLAMA, *GPT2, "head_dim", "n_inner", "id2label", "num_labels", "rms_norm_eps", "architectures"]
        ),
        st.none()
        | st.booleans()
        | st.integers()
        | st.floats()
        | st.text(max_size=3)
        | st.lists(st.integers(), max_size=2),
        max_size=4,
    ),
)
def test_any_config_is_read_or_refused(family: str, changes: dict[str, Any]) -> None:
    try:
        config = parse(FAMILIES[family] | changes)
    except GrowthError:
        return
    sizes = config.sizes
    assert min(size for name, size in sizes.as_dict().items() if name != "vocab_size") >= 1
    assert sizes.num_attention_heads % sizes.num_key_value_heads == 0


def test_growing_keeps_what_it_does_not_know_and_drops_code_references() -> None:
    raw = LLAMA | {
        "rope_theta": 5e5,
        "rope_scaling": {"type": "linear", "factor": 2},
        "custom": [1, {"a": None}],
        "auto_map": {"AutoModel": "modeling.Evil"},
        "_name_or_path": "/home/someone/model",
    }
    config = parse(raw)
    grown = config.replaced(config.sizes).raw
    assert grown == {key: value for key, value in raw.items() if key not in ("auto_map", "_name_or_path")}
