"""Qwen2: biases on queries, keys and values; the second layer in windows shorter than the sequences."""

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

WINDOWS = {"use_sliding_window": True, "sliding_window": 5, "max_window_layers": 1}
LISTED = {"layer_types": ["sliding_attention", "full_attention"]}

QWEN2 = Family(
    model_type="qwen2",
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
        "qwen2": Variant("Qwen2ForCausalLM", UNTIED),
        "qwen2-tied": Variant("Qwen2ForCausalLM", TIED),
        "qwen2-mha": Variant("Qwen2ForCausalLM", {"num_key_value_heads": 4}, without=frozenset({"kv_heads"})),
        "qwen2-mqa-tied": Variant("Qwen2ForCausalLM", {"num_key_value_heads": 1, **TIED}),
        "qwen2-headless": Variant("Qwen2Model"),
        "qwen2-windows": Variant("Qwen2ForCausalLM", WINDOWS),
        "qwen2-listed": Variant("Qwen2ForCausalLM", {**WINDOWS, **LISTED}),
    },
    targets={**ANY, **FREE_HEADS, **GROUPED, **ROTARY},
    odd={**LLAMA.odd, "tie_word_embeddings": False},
    odd_target=LLAMA.odd_target,
    classes={
        "qwen2": ("Qwen2Model", {}),
        "qwen2-head": ("Qwen2ForCausalLM", {}),
        "qwen2-head-tied": ("Qwen2ForCausalLM", TIED),
        "qwen2-sequences": ("Qwen2ForSequenceClassification", LABELS),
        "qwen2-tokens": ("Qwen2ForTokenClassification", LABELS),
        "qwen2-answers": ("Qwen2ForQuestionAnswering", LABELS),
    },
    prefix="model.",
)
