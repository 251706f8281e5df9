"""Gemma: embeddings times sqrt(hidden_size), gains stored minus 1, heads of 256 at any `hidden_size`, head tied."""

from collections.abc import Mapping
from math import sqrt

from growth.architectures import decoder
from growth.axes import Architecture, Norm, Parameter
from growth.config import ModelConfig, Sizes

HEAD_DIM = 256
NORM = Norm("rmsnorm", "rms_norm_eps", 1e-6, gain_offset=1.0)


def embedding_scale(sizes: Sizes) -> float:
    """What Gemmas multiply the embeddings by."""
    return sqrt(sizes.hidden_size)


def _read_sizes(raw: Mapping[str, object]) -> Sizes:
    return decoder.read_sizes(raw, kv_heads=16, head_dim=HEAD_DIM)


def _table(config: ModelConfig) -> tuple[Parameter, ...]:
    return (
        *decoder.ends(config, scaled=True),
        *decoder.pre_norms(),
        *decoder.attention(bias=bool(config.raw.get("attention_bias"))),
        *decoder.gated_mlp(),
    )


GEMMA = Architecture(
    model_type="gemma",
    keys={},
    norm=NORM,
    rotary=True,
    read_sizes=_read_sizes,
    write_sizes=decoder.write_sizes,
    table=_table,
    base_prefix=decoder.BASE,
    ignored=decoder.FREQUENCIES,
    tied_copies=decoder.TIED_HEAD,
    headed_classes=frozenset({"GemmaForCausalLM"}),
    tied_by_default=True,
    embedding_scale=embedding_scale,
)
