"""Llama: RMSNorm, rotary positions, gated MLP, grouped-query attention; head tied or not, biases optional."""

from growth.architectures import decoder
from growth.axes import Architecture, Norm, Parameter
from growth.config import ModelConfig


def _table(config: ModelConfig) -> tuple[Parameter, ...]:
    rows = (
        *decoder.ends(config),
        *decoder.pre_norms(),
        *decoder.attention(bias=bool(config.raw.get("attention_bias"))),
        *decoder.gated_mlp(bias=bool(config.raw.get("mlp_bias"))),
    )
    return decoder.named_for(config, rows)


LLAMA = Architecture(
    model_type="llama",
    keys={},
    norm=Norm("rmsnorm", "rms_norm_eps", 1e-6),
    rotary=True,
    read_sizes=decoder.read_sizes,
    write_sizes=decoder.write_sizes,
    table=_table,
    base_prefix=decoder.BASE,
    class_prefixes={"LlamaForQuestionAnswering": "transformer"},
    ignored=decoder.FREQUENCIES,
    tied_copies=decoder.TIED_HEAD,
    headed_classes=frozenset({"LlamaForCausalLM"}),
)
