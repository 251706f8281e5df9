"""Qwen3-MoE: a Qwen3 whose MLPs are mixtures of experts, all of them."""

from collections.abc import Mapping
from dataclasses import replace

from growth.architectures import decoder, qwen3
from growth.architectures.experts import experts, fused, read_experts, router, upcycled_config
from growth.axes import Architecture, Norm, Parameter, Upcycling
from growth.config import ModelConfig, Sizes, read_int
from growth.errors import ImpossibleTarget, InvalidConfig

_MIXTURE = f"{decoder.BLOCK}.mlp"
_NAMES = ("gate_proj", "up_proj", "down_proj")
_EXPERTS_PER_TOKEN = 8


def _read_sizes(raw: Mapping[str, object]) -> Sizes:
    if read_int(raw, "decoder_sparse_step", 1) != 1 or raw.get("mlp_only_layers"):
        raise InvalidConfig(
            "config.json has layers with experts and layers without (decoder_sparse_step, mlp_only_layers); only a "
            "Qwen3-MoE with experts in every layer can be grown."
        )
    width = read_int(raw, "moe_intermediate_size", 768)
    sizes = decoder.read_sizes({**raw, "intermediate_size": width}, decoder.missing_kv_heads(raw, 4))
    found = read_experts(raw, ("num_experts", "num_local_experts"), 128, _EXPERTS_PER_TOKEN)
    return replace(sizes, fixed={**sizes.fixed, **found})


def _write_sizes(sizes: Sizes, raw: Mapping[str, object]) -> dict[str, object]:
    written = decoder.write_sizes(sizes, raw)
    return {("moe_intermediate_size" if key == "intermediate_size" else key): size for key, size in written.items()}


def _table(config: ModelConfig) -> tuple[Parameter, ...]:
    return (
        *decoder.ends(config),
        *decoder.pre_norms(),
        *qwen3.attention(config),
        router(f"{_MIXTURE}.gate"),
        *experts(config, f"{_MIXTURE}.experts", _NAMES),
    )


def _upcycled(dense: ModelConfig, count: int, per_token: int) -> dict[str, object]:
    if dense.raw.get("use_sliding_window"):
        raise ImpossibleTarget(
            "A qwen3 model with sliding windows can't become a mixture of experts: qwen3_moe has windows in all layers "
            "or in none.",
            field="/target/num_local_experts",
        )
    config = upcycled_config(
        dense,
        "qwen3_moe",
        ("Qwen3", "Qwen3Moe"),
        num_experts=count,
        num_experts_per_tok=per_token,
        moe_intermediate_size=dense.sizes.intermediate_size,
        norm_topk_prob=True,
        decoder_sparse_step=1,
        mlp_only_layers=[],
    )
    return {key: value for key, value in config.items() if key not in ("layer_types", "max_window_layers")}


QWEN3_MOE = Architecture(
    model_type="qwen3_moe",
    keys={"intermediate_size": "moe_intermediate_size"},
    norm=Norm("rmsnorm", "rms_norm_eps", 1e-6),
    rotary=True,
    read_sizes=_read_sizes,
    write_sizes=_write_sizes,
    table=_table,
    base_prefix=decoder.BASE,
    ignored=decoder.FREQUENCIES,
    tied_copies=decoder.TIED_HEAD,
    headed_classes=frozenset({"Qwen3MoeForCausalLM"}),
    fused=fused(f"{_MIXTURE}.experts", _NAMES),
    upcycling=Upcycling(
        dense=("qwen3",),
        experts_per_token=_EXPERTS_PER_TOKEN,
        config=_upcycled,
        copied=((r"mlp\.experts\.\d+\.", "mlp."),),
        router=f"{_MIXTURE}.gate.weight",
    ),
)
