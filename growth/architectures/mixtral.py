"""Mixtral: a Mistral whose MLP is a mixture of experts; the weights of the experts that a token meets sum to 1."""

from collections.abc import Mapping
from dataclasses import replace

from growth.architectures import decoder
from growth.architectures.experts import experts, fused, read_experts, refuse_biases, router, upcycled_config
from growth.axes import Architecture, Norm, Parameter, Upcycling
from growth.config import ModelConfig, Sizes

_MIXTURE = f"{decoder.BLOCK}.block_sparse_moe"
_NAMES = ("w1", "w3", "w2")
_EXPERTS_PER_TOKEN = 2


def _read_sizes(raw: Mapping[str, object]) -> Sizes:
    sizes = decoder.read_sizes(raw, kv_heads=decoder.missing_kv_heads(raw, 8))
    return replace(sizes, fixed={**sizes.fixed, **read_experts(raw, ("num_local_experts",), 8, _EXPERTS_PER_TOKEN)})


def _table(config: ModelConfig) -> tuple[Parameter, ...]:
    return (
        *decoder.ends(config),
        *decoder.pre_norms(),
        *decoder.attention(),
        router(f"{_MIXTURE}.gate"),
        *experts(config, f"{_MIXTURE}.experts", _NAMES),
    )


def _upcycled(dense: ModelConfig, count: int, per_token: int) -> dict[str, object]:
    refuse_biases(dense, ("attention_bias", "mlp_bias"))
    family = dense.architecture.model_type
    # What a Mistral takes for a missing window, and a Mixtral does not.
    window = dense.raw.get("sliding_window", 4096 if family == "mistral" else None)
    return upcycled_config(
        dense,
        "mixtral",
        ("Llama" if family == "llama" else "Mistral", "Mixtral"),
        num_local_experts=count,
        num_experts_per_tok=per_token,
        sliding_window=window,
    )


MIXTRAL = Architecture(
    model_type="mixtral",
    keys={},
    norm=Norm("rmsnorm", "rms_norm_eps", 1e-5),
    rotary=True,
    read_sizes=_read_sizes,
    write_sizes=decoder.write_sizes,
    table=_table,
    base_prefix=decoder.BASE,
    ignored=decoder.FREQUENCIES,
    tied_copies=decoder.TIED_HEAD,
    renames=((r"\.mlp\.gate\.weight$", ".block_sparse_moe.gate.weight"),),
    module_renames=((r"\.block_sparse_moe\.gate\.weight$", ".mlp.gate.weight"),),
    headed_classes=frozenset({"MixtralForCausalLM"}),
    fused=fused(f"{_MIXTURE}.experts", _NAMES),
    upcycling=Upcycling(
        dense=("llama", "mistral"),
        experts_per_token=_EXPERTS_PER_TOKEN,
        config=_upcycled,
        copied=(
            (r"block_sparse_moe\.experts\.\d+\.w1\.", "mlp.gate_proj."),
            (r"block_sparse_moe\.experts\.\d+\.w3\.", "mlp.up_proj."),
            (r"block_sparse_moe\.experts\.\d+\.w2\.", "mlp.down_proj."),
        ),
        router=f"{_MIXTURE}.gate.weight",
    ),
)
