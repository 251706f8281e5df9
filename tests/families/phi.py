"""Phi: parallel blocks behind one norm, a head with a bias, queries and keys normalised in each head or not."""

from tests.families.family import ANY, LABELS, POSITIONS, ROTARY, TIED, TOKENS, UNTIED, Family, Variant
from tests.families.phi3 import MORE_KEYS

NORMED = {"qk_layernorm": True, "layer_norm_eps": 0.05}

PHI = Family(
    model_type="phi",
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
        "phi": Variant("PhiForCausalLM", UNTIED),
        "phi-tied": Variant("PhiForCausalLM", TIED),
        "phi-normed": Variant("PhiForCausalLM", NORMED),
        "phi-mha-tied": Variant("PhiForCausalLM", {"num_key_value_heads": 4, **TIED}),
        "phi-mqa": Variant("PhiForCausalLM", {"num_key_value_heads": 1}),
        "phi-headless": Variant("PhiModel"),
    },
    targets={**ANY, **ROTARY, **MORE_KEYS},
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
        "phi": ("PhiModel", {}),
        "phi-head": ("PhiForCausalLM", {}),
        "phi-head-tied": ("PhiForCausalLM", TIED),
        "phi-normed": ("PhiForCausalLM", NORMED),
        "phi-sequences": ("PhiForSequenceClassification", LABELS),
        "phi-tokens": ("PhiForTokenClassification", LABELS),
    },
    prefix="model.",
)
