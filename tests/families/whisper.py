"""Whisper: speech in, text out; a GELU before the first block stands in the way of padding."""

import torch
from torch import Tensor

from tests.families.family import ANY, HEAD_DIM, POSITIONS, TOKENS, UNTIED, VOCAB_SIZE, Family, Variant

MEL_BINS, FRAMES = 8, 40


def speech_inputs() -> dict[str, Tensor]:
    """Two seeded spectrograms, and 12 tokens for each."""
    generator = torch.Generator().manual_seed(0)
    return {
        "input_features": torch.randn((2, MEL_BINS, FRAMES), generator=generator),
        "decoder_input_ids": torch.randint(3, VOCAB_SIZE, (2, 12), generator=generator),
    }


WHISPER = Family(
    model_type="whisper",
    config={
        **TOKENS,
        "d_model": 32,
        "encoder_layers": 2,
        "decoder_layers": 2,
        "encoder_attention_heads": 4,
        "decoder_attention_heads": 4,
        "encoder_ffn_dim": 88,
        "decoder_ffn_dim": 88,
        "num_mel_bins": MEL_BINS,
        "max_source_positions": FRAMES // 2,
        "max_target_positions": POSITIONS,
        "decoder_start_token_id": 0,
        "begin_suppress_tokens": None,
    },
    variants={
        "whisper": Variant("WhisperForConditionalGeneration"),
        "whisper-untied": Variant("WhisperForConditionalGeneration", UNTIED),
        "whisper-headless": Variant("WhisperModel"),
    },
    targets={**ANY, **HEAD_DIM},
    odd={
        "d_model": 30,
        "encoder_layers": 2,
        "decoder_layers": 2,
        "encoder_attention_heads": 5,
        "decoder_attention_heads": 5,
        "encoder_ffn_dim": 77,
        "decoder_ffn_dim": 77,
        "num_mel_bins": 7,
        "max_source_positions": 13,
        "max_target_positions": 53,
        "vocab_size": 101,
        "pad_token_id": 0,
    },
    odd_target={
        "d_model": 88,
        "encoder_layers": 3,
        "decoder_layers": 3,
        "encoder_attention_heads": 8,
        "decoder_attention_heads": 8,
        "encoder_ffn_dim": 131,
        "decoder_ffn_dim": 131,
    },
    classes={
        "whisper": ("WhisperModel", {}),
        "whisper-head": ("WhisperForConditionalGeneration", {}),
        "whisper-head-untied": ("WhisperForConditionalGeneration", UNTIED),
    },
    prefix="model.",
    inputs=speech_inputs,
    pads=False,
)
