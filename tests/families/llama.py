"""Llama: RMSNorm, rotary positions, grouped heads whose `head_dim` the config may name."""

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

BIASES = {"attention_bias": True, "mlp_bias": True}

LLAMA = Family(
    model_type="llama",
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
        "llama": Variant("LlamaForCausalLM", UNTIED),
        "llama-tied": Variant("LlamaForCausalLM", TIED),
        "llama-mha": Variant("LlamaForCausalLM", {"num_key_value_heads": 4}, without=frozenset({"kv_heads"})),
        "llama-mqa-tied": Variant("LlamaForCausalLM", {"num_key_value_heads": 1, **TIED}),
        "llama-biases": Variant("LlamaForCausalLM", BIASES),
        "llama-head_dim": Variant("LlamaForCausalLM", {"head_dim": 16}),
        "llama-headless": Variant("LlamaModel"),
    },
    targets={**ANY, **FREE_HEADS, **GROUPED, **ROTARY},
    odd={
        "hidden_size": 30,
        "num_attention_heads": 6,
        "num_key_value_heads": 3,
        "head_dim": 8,
        "intermediate_size": 77,
        "num_hidden_layers": 2,
        "vocab_size": 101,
        "pad_token_id": 0,
    },
    odd_target={
        "hidden_size": 84,
        "num_attention_heads": 14,
        "num_key_value_heads": 7,
        "intermediate_size": 131,
        "num_hidden_layers": 3,
    },
    classes={
        "llama": ("LlamaModel", {}),
        "llama-head": ("LlamaForCausalLM", {}),
        "llama-head-tied": ("LlamaForCausalLM", TIED),
        "llama-biases": ("LlamaForCausalLM", BIASES),
        "llama-sequences": ("LlamaForSequenceClassification", LABELS),
        "llama-tokens": ("LlamaForTokenClassification", LABELS),
        "llama-answers": ("LlamaForQuestionAnswering", LABELS),
    },
    prefix="model.",
)
