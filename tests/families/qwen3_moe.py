"""Qwen3-MoE: four experts, two for each token, their weights normalised or not; an epsilon that queries feel."""

from tests.families.family import (
    ANY,
    FREE_HEADS,
    GROUPED,
    LABELS,
    POSITIONS,
    ROTARY,
    TIED,
    TOKENS,
    UNTIED,
    Family,
    Variant,
)
from tests.families.llama import LLAMA

SIZES = {key: size for key, size in LLAMA.odd.items() if key != "intermediate_size"}

QWEN3_MOE = Family(
    model_type="qwen3_moe",
    config={
        **TOKENS,
        "hidden_size": 32,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "max_position_embeddings": POSITIONS,
        "head_dim": 16,
        "rms_norm_eps": 0.05,
        "moe_intermediate_size": 88,
        "num_experts": 4,
        "num_experts_per_tok": 2,
    },
    variants={
        "qwen3_moe": Variant("Qwen3MoeForCausalLM", UNTIED),
        "qwen3_moe-tied": Variant("Qwen3MoeForCausalLM", {**TIED, "norm_topk_prob": True}),
        "qwen3_moe-biases": Variant("Qwen3MoeForCausalLM", {"attention_bias": True}),
        "qwen3_moe-headless": Variant("Qwen3MoeModel"),
    },
    targets={**ANY, **FREE_HEADS, **GROUPED, **ROTARY},
    odd={**SIZES, "moe_intermediate_size": 77, "num_experts": 3, "num_experts_per_tok": 2},
    odd_target={
        ("moe_intermediate_size" if key == "intermediate_size" else key): size for key, size in LLAMA.odd_target.items()
    },
    classes={
        "qwen3_moe": ("Qwen3MoeModel", {}),
        "qwen3_moe-head": ("Qwen3MoeForCausalLM", {}),
        "qwen3_moe-head-tied": ("Qwen3MoeForCausalLM", TIED),
        "qwen3_moe-sequences": ("Qwen3MoeForSequenceClassification", LABELS),
    },
    prefix="model.",
)
