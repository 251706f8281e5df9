"""T5: what is refused, how a config tells its version, copies of the embedding in older checkpoints."""

from pathlib import Path
from shutil import copytree
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from growth.config import ModelConfig
from growth.errors import ImpossibleTarget, InvalidConfig
from growth.header import SINGLE_FILE
from tests.families.t5 import T5
from tests.growth.growing import Source, grown_tensors
from tests.growth.variants import Sources

RAW: dict[str, Any] = {**T5.odd, "model_type": "t5", "architectures": ["T5ForConditionalGeneration"]}
COPIES = ("encoder.embed_tokens.weight", "decoder.embed_tokens.weight")


def test_a_decoder_of_another_depth_is_refused() -> None:
    with pytest.raises(InvalidConfig, match="num_layers 2 and num_decoder_layers 4"):
        ModelConfig.from_dict({**RAW, "num_decoder_layers": 4})


def test_heads_do_not_grow_inside(sources: Sources) -> None:
    with pytest.raises(ImpossibleTarget, match="attention has no scale") as refused:
        sources("t5").plan({"d_kv": 16}, "lemon")
    assert refused.value.nearest == {"head_dim": 8}


@pytest.mark.parametrize(
    ("said", "tied"),
    [
        ({}, True),
        ({"tie_word_embeddings": True}, True),
        ({"tie_word_embeddings": False}, False),
        # As transformers 5 writes either version again.
        ({"tie_word_embeddings": True, "scale_decoder_outputs": True}, True),
        ({"tie_word_embeddings": True, "scale_decoder_outputs": False}, False),
    ],
)
def test_the_version_tells_whether_the_head_is_tied(said: dict[str, Any], tied: bool) -> None:
    assert ModelConfig.from_dict({**RAW, **said}).tied is tied


@pytest.mark.parametrize("variant", ["t5", "t5-v1.1"])
def test_copies_of_the_embedding_are_left_out(sources: Sources, tmp_path: Path, variant: str) -> None:
    source = sources(variant)
    older = copytree(source.path, tmp_path / "older")
    tensors = load_file(older / SINGLE_FILE)
    copies = {name: tensors["shared.weight"].clone() for name in COPIES}
    save_file({**tensors, **copies}, older / SINGLE_FILE, metadata={"format": "pt"})
    opened, target = Source.open(older), {"hidden_size": 64}
    plan = opened.plan(target, "pad")
    assert all(name in " ".join(plan.notes) for name in COPIES)
    expected = grown_tensors(source.plan(target, "pad"), source.reader)
    found = grown_tensors(plan, opened.reader)
    assert found.keys() == expected.keys()
    assert all(torch.equal(found[name], tensor) for name, tensor in expected.items())
