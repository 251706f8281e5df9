"""Qwen2: a Llama with biases on queries, keys and values alone; its upper layers may attend in sliding windows."""

from collections.abc import Mapping, Sequence

from growth.architectures import decoder
from growth.axes import Architecture, Norm, Parameter
from growth.config import ModelConfig, Sizes, read_int


def windowed_layers(raw: Mapping[str, object]) -> Mapping[str, Sequence[object]]:
    """Which layers of a Qwen2 or later attend in sliding windows: those from `max_window_layers` on, if any do."""
    windows = bool(raw.get("use_sliding_window")) and raw.get("sliding_window", 4096) is not None
    first = read_int(raw, "max_window_layers", 28) if windows else None

    def default(layer: int) -> str:
        return "full_attention" if first is None or layer < first else "sliding_attention"

    return {"layer_types": decoder.layer_types(raw, default)}


def _read_sizes(raw: Mapping[str, object]) -> Sizes:
    windowed_layers(raw)
    return decoder.read_sizes(raw, kv_heads=decoder.missing_kv_heads(raw, 32))


def _table(config: ModelConfig) -> tuple[Parameter, ...]:
    attention = decoder.attention(bias=True, output_bias=False)
    rows = (*decoder.ends(config), *decoder.pre_norms(), *attention, *decoder.gated_mlp())
    return decoder.named_for(config, rows)


QWEN2 = Architecture(
    model_type="qwen2",
    keys={},
    norm=Norm("rmsnorm", "rms_norm_eps", 1e-6),
    rotary=True,
    read_sizes=_read_sizes,
    write_sizes=decoder.write_sizes,
    table=_table,
    base_prefix=decoder.BASE,
    class_prefixes={"Qwen2ForQuestionAnswering": "transformer"},
    ignored=decoder.FREQUENCIES,
    tied_copies=decoder.TIED_HEAD,
    headed_classes=frozenset({"Qwen2ForCausalLM"}),
    layer_lists=windowed_layers,
)
