"""T5: v1.0 with a tied head and a scaled output, v1.1 with a head of its own and a gated feed-forward part."""

import torch
from torch import Tensor

from tests.families.family import ANY, FREE_HEADS, ROTARY, UNTIED, VOCAB_SIZE, Family, Variant

GATED = {"feed_forward_proj": "gated-gelu"}


def text_inputs() -> dict[str, Tensor]:
    """Two seeded sequences to read, and 9 tokens of each answer."""
    generator = torch.Generator().manual_seed(0)
    return {
        "input_ids": torch.randint(3, VOCAB_SIZE, (2, 12), generator=generator),
        "decoder_input_ids": torch.randint(3, VOCAB_SIZE, (2, 9), generator=generator),
    }


T5 = Family(
    model_type="t5",
    config={
        "vocab_size": VOCAB_SIZE,
        "pad_token_id": 2,
        "eos_token_id": 1,
        "decoder_start_token_id": 2,
        "d_model": 32,
        "d_kv": 8,
        "d_ff": 88,
        "num_layers": 2,
        "num_heads": 4,
        "relative_attention_num_buckets": 8,
        "relative_attention_max_distance": 16,
        "dropout_rate": 0.0,
        "layer_norm_epsilon": 0.01,
    },
    variants={
        "t5": Variant("T5ForConditionalGeneration"),
        "t5-gated": Variant("T5ForConditionalGeneration", GATED),
        "t5-v1.1": Variant("T5ForConditionalGeneration", {**GATED, **UNTIED}, own_head=True),
        "t5-d_kv": Variant("T5ForConditionalGeneration", {"d_kv": 12}),
        "t5-headless": Variant("T5Model"),
    },
    targets={**ANY, **FREE_HEADS, **ROTARY},
    odd={
        "vocab_size": 101,
        "d_model": 30,
        "d_kv": 8,
        "d_ff": 77,
        "num_layers": 2,
        "num_heads": 5,
        "relative_attention_num_buckets": 6,
        "pad_token_id": 0,
    },
    odd_target={"d_model": 84, "d_ff": 131, "num_layers": 3, "num_decoder_layers": 3, "num_heads": 7},
    classes={
        "t5": ("T5Model", {}),
        "t5-head": ("T5ForConditionalGeneration", {}),
        "t5-gated": ("T5ForConditionalGeneration", GATED),
    },
    prefix="",
    inputs=text_inputs,
)
