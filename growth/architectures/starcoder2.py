"""StarCoder2: LayerNorm, rotary positions, grouped heads, a plain MLP, biases all over; head tied."""

from collections.abc import Mapping

from growth.architectures import decoder
from growth.axes import Architecture, Norm, Parameter, linear
from growth.config import ModelConfig, Sizes


def _read_sizes(raw: Mapping[str, object]) -> Sizes:
    return decoder.read_sizes(raw, kv_heads=decoder.missing_kv_heads(raw, 2))


def _table(config: ModelConfig) -> tuple[Parameter, ...]:
    bias = bool(config.raw.get("use_bias", True))
    return (
        *decoder.ends(config, norm_bias=True),
        *decoder.pre_norms(bias=True),
        *decoder.attention(bias=bias),
        *linear(f"{decoder.BLOCK}.mlp.c_fc", "intermediate", "hidden", bias=bias),
        *linear(f"{decoder.BLOCK}.mlp.c_proj", "hidden", "intermediate", bias=bias, writes_residual=True),
    )


STARCODER2 = Architecture(
    model_type="starcoder2",
    keys={},
    norm=Norm("layernorm", "norm_epsilon", 1e-5),
    rotary=True,
    read_sizes=_read_sizes,
    write_sizes=decoder.write_sizes,
    table=_table,
    base_prefix=decoder.BASE,
    ignored=decoder.FREQUENCIES,
    tied_copies=decoder.TIED_HEAD,
    headed_classes=frozenset({"Starcoder2ForCausalLM"}),
    tied_by_default=True,
    initializer_range_default=0.018042,
)
