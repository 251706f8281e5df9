"""Phi-3: fused tensors whose parts differ in size; a part of each head is turned."""

from tests.families.family import ANY, LABELS, POSITIONS, ROTARY, TIED, TOKENS, UNTIED, Family, Variant, target
from tests.families.llama import LLAMA

PARTIAL = {"rope_parameters": {"rope_type": "default", "rope_theta": 10_000.0, "partial_rotary_factor": 0.5}}
LONG = {
    "rope_parameters": {
        "rope_type": "longrope",
        "rope_theta": 10_000.0,
        "short_factor": [1.0, 1.5, 2.0, 3.0],
        "long_factor": [1.0, 2.0, 4.0, 8.0],
    },
    "original_max_position_embeddings": 8,
}
MORE_KEYS = {
    "2x-smaller-groups": target("width", hidden_size=64, num_key_value_heads=8),
    "fractional-kv": target("width fraction unequal", hidden_size=48, num_key_value_heads=6),
}

PHI3 = Family(
    model_type="phi3",
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
        "phi3": Variant("Phi3ForCausalLM", UNTIED),
        "phi3-tied": Variant("Phi3ForCausalLM", TIED),
        "phi3-mha": Variant("Phi3ForCausalLM", {"num_key_value_heads": 4}, without=frozenset({"kv_heads"})),
        "phi3-mqa-tied": Variant("Phi3ForCausalLM", {"num_key_value_heads": 1, **TIED}),
        "phi3-headless": Variant("Phi3Model"),
        "phi3-partial": Variant("Phi3ForCausalLM", PARTIAL),
        "phi3-long": Variant("Phi3ForCausalLM", LONG),
    },
    targets={**ANY, **ROTARY, **MORE_KEYS},
    odd={**{key: size for key, size in LLAMA.odd.items() if key != "head_dim"}, "hidden_size": 48},
    odd_target={**LLAMA.odd_target, "hidden_size": 112},
    classes={
        "phi3": ("Phi3Model", {}),
        "phi3-head": ("Phi3ForCausalLM", {}),
        "phi3-head-tied": ("Phi3ForCausalLM", TIED),
        "phi3-sequences": ("Phi3ForSequenceClassification", LABELS),
        "phi3-tokens": ("Phi3ForTokenClassification", LABELS),
    },
    prefix="model.",
)
