"""Gemma: embeddings times sqrt(hidden_size), gains stored minus 1, `head_dim` apart from `hidden_size`, head tied."""

from collections.abc import Mapping
from typing import Any

from tests.families.family import (
    ANY,
    FREE_HEADS,
    GROUPED,
    LABELS,
    POSITIONS,
    ROTARY,
    TOKENS,
    UNTIED,
    Family,
    Variant,
)

CONFIG: Mapping[str, Any] = {
    **TOKENS,
    "hidden_size": 32,
    "intermediate_size": 88,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 16,
    "max_position_embeddings": POSITIONS,
}
ODD: Mapping[str, Any] = {
    "hidden_size": 30,
    "num_attention_heads": 6,
    "num_key_value_heads": 3,
    "head_dim": 8,
    "intermediate_size": 77,
    "num_hidden_layers": 2,
    "vocab_size": 101,
    "pad_token_id": 0,
}
ODD_TARGET: Mapping[str, int] = {
    "hidden_size": 84,
    "num_attention_heads": 14,
    "num_key_value_heads": 7,
    "intermediate_size": 131,
    "num_hidden_layers": 3,
}
TARGETS = {**ANY, **FREE_HEADS, **GROUPED, **ROTARY}

GEMMA = Family(
    model_type="gemma",
    config=CONFIG,
    variants={
        "gemma": Variant("GemmaForCausalLM"),
        "gemma-untied": Variant("GemmaForCausalLM", UNTIED),
        "gemma-mha": Variant("GemmaForCausalLM", {"num_key_value_heads": 4}, without=frozenset({"kv_heads"})),
        "gemma-mqa": Variant("GemmaForCausalLM", {"num_key_value_heads": 1}),
        "gemma-biases": Variant("GemmaForCausalLM", {"attention_bias": True}),
        "gemma-headless": Variant("GemmaModel"),
    },
    targets=TARGETS,
    odd=ODD,
    odd_target=ODD_TARGET,
    classes={
        "gemma": ("GemmaModel", {}),
        "gemma-head": ("GemmaForCausalLM", {}),
        "gemma-head-untied": ("GemmaForCausalLM", UNTIED),
        "gemma-biases": ("GemmaForCausalLM", {"attention_bias": True}),
        "gemma-sequences": ("GemmaForSequenceClassification", LABELS),
        "gemma-tokens": ("GemmaForTokenClassification", LABELS),
    },
    prefix="model.",
)
