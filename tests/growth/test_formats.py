"""Sources as they are found: dtypes mixed in one checkpoint, several shards, tied copies and buffers stored as well."""

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM

from growth.header import SINGLE_FILE
from growth.plan import DTYPES, Dtype
from tests.growth.folders import write_grown
from tests.growth.growing import Source, load, outputs, relative_difference
from tests.tiny import tiny

MIXED = {"norm": torch.float32, "embed_tokens": torch.float16, "q_proj": torch.float64}
WIDER = {"hidden_size": 64, "num_hidden_layers": 3}


def rewrite(folder: Path, **extra: torch.Tensor) -> None:
    """The checkpoint with norms, embeddings and queries in other dtypes than the rest, and further tensors."""
    tensors = load_file(folder / SINGLE_FILE)
    for name, tensor in tensors.items():
        kind = next((dtype for part, dtype in MIXED.items() if part in name), tensor.dtype)
        tensors[name] = tensor.to(kind)
    save_file({**tensors, **extra}, folder / SINGLE_FILE, metadata={"format": "pt"})


@pytest.fixture
def mixed(tmp_path: Path) -> Source:
    folder = tiny(tmp_path / "mixed", "llama", dtype=torch.bfloat16)
    rewrite(folder)
    return Source.open(folder)


def test_the_dtype_that_most_bytes_have_is_written(mixed: Source, tmp_path: Path) -> None:
    assert len({tensor.dtype for tensor in mixed.checkpoint.tensors.values()}) == 4
    plan = mixed.plan(WIDER, "hypercloning")
    assert plan.dtype == "bfloat16"
    written = load_file(write_grown(plan, mixed.reader, tmp_path / "grown") / SINGLE_FILE)
    assert {tensor.dtype for tensor in written.values()} == {torch.bfloat16}


@pytest.mark.parametrize("written", DTYPES)
@pytest.mark.parametrize("method", ["hypercloning", "lemon"])
def test_mixed_dtypes_keep_the_function(mixed: Source, tmp_path: Path, method: str, written: Dtype) -> None:
    source: Any = AutoModelForCausalLM.from_pretrained(mixed.path, dtype=torch.float32)
    grown, report = load(write_grown(mixed.plan(WIDER, method, dtype=written), mixed.reader, tmp_path / "grown"))
    assert not any(report.values())
    assert grown.dtype is getattr(torch, written)
    bound = {"float32": 5e-5, "float16": 2e-3, "bfloat16": 2e-2}[written]
    assert relative_difference(outputs(source.eval()), outputs(grown.float())) < bound


def test_tied_copies_and_buffers_are_left_out_with_a_note(tmp_path: Path) -> None:
    folder = tiny(tmp_path / "tied", "llama-tied", dtype=torch.float32)
    embedding = load_file(folder / SINGLE_FILE)["model.embed_tokens.weight"]
    tensors = {
        "lm_head.weight": embedding.clone().half(),
        "model.rotary_emb.inv_freq": torch.ones(4),
        "model.layers.0.self_attn.rotary_emb.inv_freq": torch.ones(4),
    }
    rewrite(folder, **tensors)
    source = Source.open(folder)
    plan = source.plan(WIDER, "hypercloning", dtype="float32")
    assert plan.notes == (
        "lm_head.weight repeats a tied tensor and is left out; it is tied again on loading.",
        "Buffers that transformers computes by itself are left out: 'model.layers.0.self_attn.rotary_emb.inv_freq' and "
        "1 more.",
    )
    assert not tensors.keys() & load_file(write_grown(plan, source.reader, tmp_path / "grown") / SINGLE_FILE).keys()
