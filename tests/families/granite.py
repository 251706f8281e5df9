"""Granite: four multipliers, none of them 1."""

from tests.families.family import ANY, FREE_HEADS, GROUPED, POSITIONS, ROTARY, TIED, TOKENS, UNTIED, Family, Variant
from tests.families.llama import LLAMA

BIASES = {"attention_bias": True, "mlp_bias": True}

GRANITE = Family(
    model_type="granite",
    config={
        **TOKENS,
        "hidden_size": 32,
        "intermediate_size": 88,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "max_position_embeddings": POSITIONS,
        "embedding_multiplier": 12.0,
        "residual_multiplier": 0.22,
        "attention_multiplier": 0.15,
        "logits_scaling": 8.0,
    },
    variants={
        "granite": Variant("GraniteForCausalLM", UNTIED),
        "granite-tied": Variant("GraniteForCausalLM", TIED),
        "granite-mha": Variant("GraniteForCausalLM", {"num_key_value_heads": 4}, without=frozenset({"kv_heads"})),
        "granite-mqa-tied": Variant("GraniteForCausalLM", {"num_key_value_heads": 1, **TIED}),
        "granite-headless": Variant("GraniteModel"),
        "granite-biases": Variant("GraniteForCausalLM", BIASES),
    },
    targets={**ANY, **FREE_HEADS, **GROUPED, **ROTARY},
    odd={**LLAMA.odd, "tie_word_embeddings": False},
    odd_target=LLAMA.odd_target,
    classes={
        "granite": ("GraniteModel", {}),
        "granite-head": ("GraniteForCausalLM", {}),
        "granite-head-tied": ("GraniteForCausalLM", TIED),
        "granite-biases": ("GraniteForCausalLM", BIASES),
    },
    prefix="model.",
)
