"""Mistral: no biases; windows shorter than the sequences."""

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

MISTRAL = Family(
    model_type="mistral",
    config={
        **TOKENS,
        "hidden_size": 32,
        "intermediate_size": 88,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "max_position_embeddings": POSITIONS,
        "sliding_window": 5,
    },
    variants={
        "mistral": Variant("MistralForCausalLM", UNTIED),
        "mistral-tied": Variant("MistralForCausalLM", TIED),
        "mistral-mha": Variant("MistralForCausalLM", {"num_key_value_heads": 4}, without=frozenset({"kv_heads"})),
        "mistral-mqa-tied": Variant("MistralForCausalLM", {"num_key_value_heads": 1, **TIED}),
        "mistral-headless": Variant("MistralModel"),
        "mistral-head_dim": Variant("MistralForCausalLM", {"head_dim": 16}),
    },
    targets={**ANY, **FREE_HEADS, **GROUPED, **ROTARY},
    odd={**LLAMA.odd, "tie_word_embeddings": False},
    odd_target=LLAMA.odd_target,
    classes={
        "mistral": ("MistralModel", {}),
        "mistral-head": ("MistralForCausalLM", {}),
        "mistral-head-tied": ("MistralForCausalLM", TIED),
        "mistral-sequences": ("MistralForSequenceClassification", LABELS),
        "mistral-tokens": ("MistralForTokenClassification", LABELS),
        "mistral-answers": ("MistralForQuestionAnswering", LABELS),
    },
    prefix="model.",
)
