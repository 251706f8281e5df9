"""Gemma 2: a Gemma with norms before and after both parts of a block, and sliding attention in every other layer."""

from collections.abc import Mapping, Sequence

from growth.architectures import decoder, gemma
from growth.axes import Architecture, ConfigFactor, Parameter, norm
from growth.config import ModelConfig, Sizes

ATTENTION = ConfigFactor("query_pre_attn_scalar", 256.0, power=-0.5)


def read_sizes(raw: Mapping[str, object]) -> Sizes:
    """Sizes of a Gemma 2 or later, whose defaults are the same."""
    return decoder.read_sizes(raw, kv_heads=4, head_dim=gemma.HEAD_DIM)


def table(config: ModelConfig, *, normed_queries: bool = False) -> tuple[Parameter, ...]:
    """The table of a Gemma 2, with norms on queries and keys where they are `normed_queries`.

    What the norms after the two parts give is added to the stream; of zeros they make zeros, so that a silent block and
    a padded unit stay so.
    """
    return (
        *decoder.ends(config, scaled=True),
        *norm(f"{decoder.BLOCK}.input_layernorm", bias=False),
        *norm(f"{decoder.BLOCK}.post_attention_layernorm", bias=False, ends_branch=True),
        *norm(f"{decoder.BLOCK}.pre_feedforward_layernorm", bias=False),
        *norm(f"{decoder.BLOCK}.post_feedforward_layernorm", bias=False, ends_branch=True),
        *decoder.attention(bias=bool(config.raw.get("attention_bias")), normed_queries=normed_queries),
        *decoder.gated_mlp(),
    )


def _read_sizes(raw: Mapping[str, object]) -> Sizes:
    _layer_lists(raw)
    return read_sizes(raw)


def _layer_lists(raw: Mapping[str, object]) -> Mapping[str, Sequence[object]]:
    return {"layer_types": decoder.layer_types(raw, lambda n: "full_attention" if n % 2 else "sliding_attention")}


GEMMA2 = Architecture(
    model_type="gemma2",
    keys={},
    norm=gemma.NORM,
    rotary=True,
    read_sizes=_read_sizes,
    write_sizes=decoder.write_sizes,
    table=table,
    base_prefix=decoder.BASE,
    ignored=decoder.FREQUENCIES,
    tied_copies=decoder.TIED_HEAD,
    headed_classes=frozenset({"Gemma2ForCausalLM"}),
    tied_by_default=True,
    embedding_scale=gemma.embedding_scale,
    attention_power=0.0,
    attention_factor=ATTENTION,
    layer_lists=_layer_lists,
)
