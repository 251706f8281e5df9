"""OLMo 2: the stream is read as it is; queries and keys are normalised over all heads, under the stream's epsilon."""

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
    target,
)

OWN = {
    "fractional-kept-heads": target("width fraction", hidden_size=48, num_attention_heads=4),
    "fractional-double-heads": target(
        "width fraction depth", hidden_size=48, num_attention_heads=8, num_hidden_layers=3
    ),
    "unequal-heads": target("width unequal", hidden_size=96, num_attention_heads=6),
    "unequal-kv_heads": target("width unequal", hidden_size=96, num_attention_heads=12, num_key_value_heads=3),
    "unequal-heads-at-no-fitting-size": target(
        "width fraction unequal", hidden_size=33, num_attention_heads=11, num_key_value_heads=11
    ),
}
GROUPS = {
    **{name: wanted for name, wanted in GROUPED.items() if name != "fractional-kv"},
    "fractional-kv": target("width fraction", **GROUPED["fractional-kv"].sizes),
}

OLMO2 = Family(
    model_type="olmo2",
    config={
        **TOKENS,
        "hidden_size": 32,
        "intermediate_size": 88,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "max_position_embeddings": POSITIONS,
        "rms_norm_eps": 0.05,
    },
    variants={
        "olmo2": Variant("Olmo2ForCausalLM"),
        "olmo2-tied": Variant("Olmo2ForCausalLM", TIED),
        "olmo2-mha": Variant(
            "Olmo2ForCausalLM",
            {"num_key_value_heads": 4},
            without=frozenset({"kv_heads", "unequal-kv_heads", "fractional-kv", "3x-smaller-groups"}),
        ),
        "olmo2-mqa": Variant("Olmo2ForCausalLM", {"num_key_value_heads": 1}, without=frozenset({"unequal-kv_heads"})),
        "olmo2-biases": Variant("Olmo2ForCausalLM", {"attention_bias": True}),
        "olmo2-headless": Variant("Olmo2Model"),
    },
    targets={**ANY, **FREE_HEADS, **GROUPS, **ROTARY, **OWN},
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
        "olmo2": ("Olmo2Model", {}),
        "olmo2-head": ("Olmo2ForCausalLM", {}),
        "olmo2-head-tied": ("Olmo2ForCausalLM", TIED),
        "olmo2-biases": ("Olmo2ForCausalLM", {"attention_bias": True}),
        "olmo2-sequences": ("Olmo2ForSequenceClassification", LABELS),
    },
    prefix="model.",
    equal_heads=True,
)
