"""Mistral: a Llama without biases, in sliding windows where its config names one."""

from collections.abc import Mapping

from growth.architectures import decoder
from growth.axes import Architecture, Norm, Parameter
from growth.config import ModelConfig, Sizes


def _read_sizes(raw: Mapping[str, object]) -> Sizes:
    decoder.listed_layers(raw)
    return decoder.read_sizes(raw, kv_heads=decoder.missing_kv_heads(raw, 8))


def _table(config: ModelConfig) -> tuple[Parameter, ...]:
    return (*decoder.ends(config), *decoder.pre_norms(), *decoder.attention(), *decoder.gated_mlp())


MISTRAL = Architecture(
    model_type="mistral",
    keys={},
    norm=Norm("rmsnorm", "rms_norm_eps", 1e-6),
    rotary=True,
    read_sizes=_read_sizes,
    write_sizes=decoder.write_sizes,
    table=_table,
    base_prefix=decoder.BASE,
    ignored=decoder.FREQUENCIES,
    tied_copies=decoder.TIED_HEAD,
    headed_classes=frozenset({"MistralForCausalLM"}),
    layer_lists=decoder.listed_layers,
)
