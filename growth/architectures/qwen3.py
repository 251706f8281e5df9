"""Qwen3: queries and keys normalised in each head, under the stream's epsilon; heads of 128 at any `hidden_size`."""

from collections.abc import Mapping

from growth.architectures import decoder
from growth.architectures.qwen2 import windowed_layers
from growth.axes import Architecture, Norm, Parameter, norm
from growth.config import ModelConfig, Sizes

HEAD_DIM = 128


def read_sizes(raw: Mapping[str, object]) -> Sizes:
    """Sizes of a Qwen3, with experts or without."""
    windowed_layers(raw)
    return decoder.read_sizes(raw, kv_heads=decoder.missing_kv_heads(raw, 32), head_dim=HEAD_DIM)


def attention(config: ModelConfig) -> tuple[Parameter, ...]:
    """The attention of a Qwen3, with experts or without."""
    return (
        *decoder.attention(bias=bool(config.raw.get("attention_bias")), normed_queries=True),
        *norm(f"{decoder.BLOCK}.self_attn.q_norm", "head_dim", bias=False),
        *norm(f"{decoder.BLOCK}.self_attn.k_norm", "head_dim", bias=False),
    )


def _table(config: ModelConfig) -> tuple[Parameter, ...]:
    rows = (*decoder.ends(config), *decoder.pre_norms(), *attention(config), *decoder.gated_mlp())
    return decoder.named_for(config, rows)


QWEN3 = Architecture(
    model_type="qwen3",
    keys={},
    norm=Norm("rmsnorm", "rms_norm_eps", 1e-6),
    rotary=True,
    read_sizes=read_sizes,
    write_sizes=decoder.write_sizes,
    table=_table,
    base_prefix=decoder.BASE,
    class_prefixes={"Qwen3ForQuestionAnswering": "transformer"},
    ignored=decoder.FREQUENCIES,
    tied_copies=decoder.TIED_HEAD,
    headed_classes=frozenset({"Qwen3ForCausalLM"}),
    layer_lists=windowed_layers,
)
