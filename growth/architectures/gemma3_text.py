"""Gemma 3, text alone: a Gemma 2 with norms on queries and keys, and full attention in every sixth layer."""

from collections.abc import Mapping, Sequence

from growth.architectures import decoder, gemma, gemma2
from growth.axes import Architecture, Parameter, norm
from growth.config import ModelConfig, Sizes, read_int
from growth.errors import InvalidConfig


def _table(config: ModelConfig) -> tuple[Parameter, ...]:
    return (
        *gemma2.table(config, normed_queries=True),
        *norm(f"{decoder.BLOCK}.self_attn.q_norm", "head_dim", bias=False),
        *norm(f"{decoder.BLOCK}.self_attn.k_norm", "head_dim", bias=False),
    )


def _read_sizes(raw: Mapping[str, object]) -> Sizes:
    _layer_lists(raw)
    return gemma2.read_sizes(raw)


def _layer_lists(raw: Mapping[str, object]) -> Mapping[str, Sequence[object]]:
    pattern = read_int(raw, "sliding_window_pattern", 6)
    if pattern < 1:
        raise InvalidConfig(f"config.json has sliding_window_pattern {pattern}; it must be at least 1.")
    return {
        "layer_types": decoder.layer_types(
            raw, lambda layer: "sliding_attention" if (layer + 1) % pattern else "full_attention"
        )
    }


GEMMA3_TEXT = Architecture(
    model_type="gemma3_text",
    keys={},
    norm=gemma.NORM,
    rotary=True,
    read_sizes=_read_sizes,
    write_sizes=decoder.write_sizes,
    table=_table,
    base_prefix=decoder.BASE,
    ignored=decoder.FREQUENCIES,
    tied_copies=decoder.TIED_HEAD,
    headed_classes=frozenset({"Gemma3ForCausalLM"}),
    tied_by_default=True,
    embedding_scale=gemma.embedding_scale,
    attention_power=0.0,
    attention_factor=gemma2.ATTENTION,
    layer_lists=_layer_lists,
)
