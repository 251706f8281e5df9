"""OLMo: LayerNorms that have no parameter to take a factor, and queries, keys and values that are clipped."""

from tests.families.family import (
    ANY,
    FREE_HEADS,
    GROUPED,
    LABELS,
    POSITIONS,
    ROTARY,
    TIED,
    TOKENS,
    Family,
    Variant,
)

TARGETS = {**ANY, **FREE_HEADS, **GROUPED, **ROTARY}

OLMO = Family(
    model_type="olmo",
    config={
        **TOKENS,
        "hidden_size": 32,
        "intermediate_size": 88,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "max_position_embeddings": POSITIONS,
    },
    variants={
        "olmo": Variant("OlmoForCausalLM"),
        "olmo-tied": Variant("OlmoForCausalLM", TIED),
        "olmo-clipped": Variant("OlmoForCausalLM", {"clip_qkv": 0.3}),
        "olmo-mha": Variant("OlmoForCausalLM", {"num_key_value_heads": 4}, without=frozenset({"kv_heads"})),
        "olmo-mqa-tied": Variant("OlmoForCausalLM", {"num_key_value_heads": 1, **TIED}),
        "olmo-biases": Variant("OlmoForCausalLM", {"attention_bias": True}),
        "olmo-headless": Variant(
            "OlmoModel", without=frozenset(name for name, wanted in TARGETS.items() if "fraction" in wanted.needs)
        ),
    },
    targets=TARGETS,
    odd={
        "hidden_size": 48,
        "num_attention_heads": 6,
        "num_key_value_heads": 3,
        "intermediate_size": 77,
        "num_hidden_layers": 2,
        "vocab_size": 101,
        "pad_token_id": 0,
    },
    odd_target={
        "hidden_size": 112,
        "num_attention_heads": 14,
        "num_key_value_heads": 7,
        "intermediate_size": 131,
        "num_hidden_layers": 3,
    },
    classes={
        "olmo": ("OlmoModel", {}),
        "olmo-head": ("OlmoForCausalLM", {}),
        "olmo-head-tied": ("OlmoForCausalLM", TIED),
        "olmo-biases": ("OlmoForCausalLM", {"attention_bias": True}),
        "olmo-sequences": ("OlmoForSequenceClassification", LABELS),
    },
    prefix="model.",
)
