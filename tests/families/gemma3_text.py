"""Gemma 3: queries and keys normalised in each head under the stream's epsilon, two kinds of rotary positions."""

from tests.families.family import LABELS, UNTIED, Family, Variant
from tests.families.gemma import CONFIG, ODD, ODD_TARGET, TARGETS

# An epsilon that queries and keys feel, and both kinds of attention within 2 layers.
SHARP = {"rms_norm_eps": 0.05, "sliding_window": 5, "layer_types": ["sliding_attention", "full_attention"]}

GEMMA3_TEXT = Family(
    model_type="gemma3_text",
    config={**CONFIG, **SHARP, "query_pre_attn_scalar": 10},
    variants={
        "gemma3_text": Variant("Gemma3ForCausalLM"),
        "gemma3_text-untied": Variant("Gemma3ForCausalLM", UNTIED),
        "gemma3_text-mqa": Variant("Gemma3ForCausalLM", {"num_key_value_heads": 1}),
        "gemma3_text-biases": Variant("Gemma3ForCausalLM", {"attention_bias": True}),
        "gemma3_text-encoder": Variant("Gemma3TextModel", {"use_bidirectional_attention": True}),
    },
    targets=TARGETS,
    odd=ODD,
    odd_target=ODD_TARGET,
    classes={
        "gemma3_text": ("Gemma3TextModel", {}),
        "gemma3_text-head": ("Gemma3ForCausalLM", {}),
        "gemma3_text-head-untied": ("Gemma3ForCausalLM", UNTIED),
        "gemma3_text-biases": ("Gemma3ForCausalLM", {"attention_bias": True}),
        "gemma3_text-sequences": ("Gemma3TextForSequenceClassification", LABELS),
    },
    prefix="model.",
)
