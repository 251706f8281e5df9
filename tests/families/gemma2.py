"""Gemma 2: norms around both parts of a block, soft caps, sliding attention that the tests' sequences outgrow."""

from tests.families.family import LABELS, UNTIED, Family, Variant
from tests.families.gemma import CONFIG, ODD, ODD_TARGET, TARGETS

# Small enough that scores and logits come near the caps; a scale that is not head_dim's.
SHARP = {
    "sliding_window": 5,
    "query_pre_attn_scalar": 10,
    "attn_logit_softcapping": 2.0,
    "final_logit_softcapping": 3.0,
}

GEMMA2 = Family(
    model_type="gemma2",
    config={**CONFIG, **SHARP},
    variants={
        "gemma2": Variant("Gemma2ForCausalLM"),
        "gemma2-untied": Variant("Gemma2ForCausalLM", UNTIED),
        "gemma2-mqa": Variant("Gemma2ForCausalLM", {"num_key_value_heads": 1}),
        "gemma2-biases": Variant("Gemma2ForCausalLM", {"attention_bias": True}),
        "gemma2-headless": Variant("Gemma2Model"),
    },
    targets=TARGETS,
    odd=ODD,
    odd_target=ODD_TARGET,
    classes={
        "gemma2": ("Gemma2Model", {}),
        "gemma2-head": ("Gemma2ForCausalLM", {}),
        "gemma2-head-untied": ("Gemma2ForCausalLM", UNTIED),
        "gemma2-biases": ("Gemma2ForCausalLM", {"attention_bias": True}),
        "gemma2-sequences": ("Gemma2ForSequenceClassification", LABELS),
        "gemma2-tokens": ("Gemma2ForTokenClassification", LABELS),
    },
    prefix="model.",
)
