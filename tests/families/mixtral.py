"""Mixtral: four experts, two for each token."""

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

MIXTRAL = Family(
    model_type="mixtral",
    config={
        **TOKENS,
        "hidden_size": 32,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "max_position_embeddings": POSITIONS,
        "intermediate_size": 88,
        "num_local_experts": 4,
    },
    variants={
        "mixtral": Variant("MixtralForCausalLM", UNTIED),
        "mixtral-tied": Variant("MixtralForCausalLM", TIED),
        "mixtral-mqa": Variant("MixtralForCausalLM", {"num_key_value_heads": 1}),
        "mixtral-one-of-three": Variant("MixtralForCausalLM", {"num_local_experts": 3, "num_experts_per_tok": 1}),
        "mixtral-headless": Variant("MixtralModel"),
    },
    targets={**ANY, **FREE_HEADS, **GROUPED, **ROTARY},
    odd={**LLAMA.odd, "num_local_experts": 3},
    odd_target=LLAMA.odd_target,
    classes={
        "mixtral": ("MixtralModel", {}),
        "mixtral-head": ("MixtralForCausalLM", {}),
        "mixtral-head-tied": ("MixtralForCausalLM", TIED),
        "mixtral-sequences": ("MixtralForSequenceClassification", LABELS),
        "mixtral-tokens": ("MixtralForTokenClassification", LABELS),
    },
    prefix="model.",
)
