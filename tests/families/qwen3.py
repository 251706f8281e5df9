"""Qwen3: an epsilon that normalised queries and keys feel, and `head_dim` apart from `hidden_size`."""

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

BIASES = {"attention_bias": True}
WINDOWS = {"use_sliding_window": True, "sliding_window": 5, "max_window_layers": 1}

QWEN3 = Family(
    model_type="qwen3",
    config={
        **TOKENS,
        "hidden_size": 32,
        "intermediate_size": 88,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "max_position_embeddings": POSITIONS,
        "head_dim": 16,
        "rms_norm_eps": 0.05,
    },
    variants={
        "qwen3": Variant("Qwen3ForCausalLM", UNTIED),
        "qwen3-tied": Variant("Qwen3ForCausalLM", TIED),
        "qwen3-mha": Variant("Qwen3ForCausalLM", {"num_key_value_heads": 4}, without=frozenset({"kv_heads"})),
        "qwen3-mqa-tied": Variant("Qwen3ForCausalLM", {"num_key_value_heads": 1, **TIED}),
        "qwen3-headless": Variant("Qwen3Model"),
        "qwen3-windows": Variant("Qwen3ForCausalLM", WINDOWS),
        "qwen3-biases": Variant("Qwen3ForCausalLM", BIASES),
    },
    targets={**ANY, **FREE_HEADS, **GROUPED, **ROTARY},
    odd={**LLAMA.odd, "tie_word_embeddings": False},
    odd_target=LLAMA.odd_target,
    classes={
        "qwen3": ("Qwen3Model", {}),
        "qwen3-head": ("Qwen3ForCausalLM", {}),
        "qwen3-head-tied": ("Qwen3ForCausalLM", TIED),
        "qwen3-sequences": ("Qwen3ForSequenceClassification", LABELS),
        "qwen3-tokens": ("Qwen3ForTokenClassification", LABELS),
        "qwen3-answers": ("Qwen3ForQuestionAnswering", LABELS),
        "qwen3-biases": ("Qwen3ForCausalLM", BIASES),
    },
    prefix="model.",
)
