"""StarCoder2: LayerNorm under an epsilon of its own name, biases all over or nowhere."""

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

STARCODER2 = Family(
    model_type="starcoder2",
    config={
        **TOKENS,
        "hidden_size": 32,
        "intermediate_size": 88,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "max_position_embeddings": POSITIONS,
        "norm_epsilon": 0.01,
        "sliding_window": 5,
    },
    variants={
        "starcoder2": Variant("Starcoder2ForCausalLM", UNTIED),
        "starcoder2-tied": Variant("Starcoder2ForCausalLM", TIED),
        "starcoder2-mha": Variant("Starcoder2ForCausalLM", {"num_key_value_heads": 4}, without=frozenset({"kv_heads"})),
        "starcoder2-mqa-tied": Variant("Starcoder2ForCausalLM", {"num_key_value_heads": 1, **TIED}),
        "starcoder2-headless": Variant("Starcoder2Model"),
        "starcoder2-plain": Variant("Starcoder2ForCausalLM", {"use_bias": False}),
    },
    targets={**ANY, **FREE_HEADS, **GROUPED, **ROTARY},
    odd={**LLAMA.odd, "tie_word_embeddings": False},
    odd_target=LLAMA.odd_target,
    classes={
        "starcoder2": ("Starcoder2Model", {}),
        "starcoder2-head": ("Starcoder2ForCausalLM", {}),
        "starcoder2-head-tied": ("Starcoder2ForCausalLM", TIED),
        "starcoder2-sequences": ("Starcoder2ForSequenceClassification", LABELS),
        "starcoder2-tokens": ("Starcoder2ForTokenClassification", LABELS),
        "starcoder2-plain": ("Starcoder2ForCausalLM", {"use_bias": False}),
    },
    prefix="model.",
)
