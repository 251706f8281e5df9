"""OLMo: LayerNorms without gain or bias and with an epsilon of their own, so that the head must often be untied."""

from growth.architectures import decoder
from growth.axes import Architecture, Norm, Parameter, embedding
from growth.config import ModelConfig


def _table(config: ModelConfig) -> tuple[Parameter, ...]:
    return (
        embedding("model.embed_tokens", "vocab"),
        *decoder.attention(bias=bool(config.raw.get("attention_bias"))),
        *decoder.gated_mlp(),
        *decoder.heads(config),
    )


OLMO = Architecture(
    model_type="olmo",
    keys={},
    norm=Norm("layernorm", "", 1e-5, bare=True),
    rotary=True,
    read_sizes=decoder.read_sizes,
    write_sizes=decoder.write_sizes,
    table=_table,
    base_prefix=decoder.BASE,
    ignored=decoder.FREQUENCIES,
    tied_copies=decoder.TIED_HEAD,
    headed_classes=frozenset({"OlmoForCausalLM"}),
)
