"""Whisper: what is refused, stale entries of configs, the sinusoids of a fresh model."""

from typing import Any

import pytest
import torch
from transformers.models.whisper.modeling_whisper import sinusoids

from growth.config import ModelConfig
from growth.errors import ImpossibleTarget, InvalidConfig
from growth.operators import parse_method
from growth.plan import make_plan
from tests.families.whisper import WHISPER
from tests.growth.growing import grown_tensors
from tests.growth.stock import stock_tensors
from tests.growth.variants import Sources

KIND = "WhisperForConditionalGeneration"
RAW: dict[str, Any] = {**WHISPER.odd, "model_type": "whisper", "architectures": [KIND]}


@pytest.mark.parametrize("key", ["decoder_layers", "decoder_attention_heads", "decoder_ffn_dim"])
def test_a_decoder_unlike_the_encoder_is_refused(key: str) -> None:
    with pytest.raises(InvalidConfig, match=f"{key} {RAW[key] + 1}; only a Whisper"):
        ModelConfig.from_dict({**RAW, key: RAW[key] + 1})


def test_sizes_of_encoder_and_decoder_may_not_differ(sources: Sources) -> None:
    with pytest.raises(ImpossibleTarget, match="named twice"):
        sources("whisper").plan({"encoder_layers": 4, "decoder_layers": 5}, "identity")


def test_padding_is_refused_with_the_reason(sources: Sources) -> None:
    with pytest.raises(ImpossibleTarget, match="behind a GELU"):
        sources("whisper").plan({"hidden_size": 48}, "lemon")


def test_an_entry_that_repeats_the_layers_grows_too() -> None:
    plan = make_plan(
        ModelConfig.from_dict({**RAW, "num_hidden_layers": 2}),
        stock_tensors(KIND, RAW),
        {"encoder_layers": 5},
        parse_method("identity"),
    )
    assert [plan.target.raw[key] for key in ("encoder_layers", "decoder_layers", "num_hidden_layers")] == [5, 5, 5]


def test_fresh_positions_are_sinusoids(sources: Sources) -> None:
    source = sources("whisper")
    grown = grown_tensors(source.plan({"hidden_size": 64}, "random"), source.reader)
    positions = grown["model.encoder.embed_positions.weight"]
    torch.testing.assert_close(positions, sinusoids(20, 64), rtol=0, atol=1e-5)
