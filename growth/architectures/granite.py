"""Granite: a Llama whose config scales embeddings, attention, residual additions and logits by constants.

None of the four depends on a size, so they stay as they are.
"""

from growth.architectures import decoder
from growth.axes import Architecture, ConfigFactor, Norm, Parameter
from growth.config import ModelConfig


def _table(config: ModelConfig) -> tuple[Parameter, ...]:
    return (
        *decoder.ends(config),
        *decoder.pre_norms(),
        *decoder.attention(bias=bool(config.raw.get("attention_bias"))),
        *decoder.gated_mlp(bias=bool(config.raw.get("mlp_bias"))),
    )


GRANITE = Architecture(
    model_type="granite",
    keys={},
    norm=Norm("rmsnorm", "rms_norm_eps", 1e-6),
    rotary=True,
    read_sizes=decoder.read_sizes,
    write_sizes=decoder.write_sizes,
    table=_table,
    base_prefix=decoder.BASE,
    ignored=decoder.FREQUENCIES,
    tied_copies=decoder.TIED_HEAD,
    headed_classes=frozenset({"GraniteForCausalLM"}),
    attention_power=0.0,
    attention_factor=ConfigFactor("attention_multiplier", 1.0),
    residual_factor=ConfigFactor("residual_multiplier", 1.0),
    logits_factor=ConfigFactor("logits_scaling", 1.0, power=-1.0),
)
