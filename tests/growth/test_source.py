"""A checkpoint's folder as it may be found: what is read of it, and what is refused in one sentence."""

import json
import os
from collections.abc import Callable
from pathlib import Path
from shutil import copytree

import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM

from growth.checkpoint import CheckpointReader, header_bytes
from growth.config import MAX_CONFIG_BYTES
from growth.errors import GrowthError, InvalidCheckpoint, InvalidConfig, UnknownArchitecture
from growth.header import INDEX_FILE, SINGLE_FILE
from growth.local_folder import LocalFolder
from growth.operators import parse_method
from growth.plan import make_plan
from growth.source import MAX_SHARDS, read_source
from tests.tiny import tiny_llama

SHARDS = 4


@pytest.fixture(scope="module")
def sharded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tiny_llama(tmp_path_factory.mktemp("sharded") / "llama", max_shard_size=60_000)
    assert len(list(folder.glob("*.safetensors"))) == SHARDS
    return folder


@pytest.fixture
def folder(sharded: Path, tmp_path: Path) -> Path:
    """A sharded checkpoint to spoil."""
    return Path(copytree(sharded, tmp_path / "checkpoint"))


def weight_map(folder: Path) -> dict[str, str]:
    found: dict[str, str] = json.loads((folder / INDEX_FILE).read_text())["weight_map"]
    return found


def write_index(folder: Path, entries: dict[str, str]) -> None:
    (folder / INDEX_FILE).write_text(json.dumps({"metadata": {}, "weight_map": entries}))


def first_shard(folder: Path) -> Path:
    return min(folder.glob("*.safetensors"))


def remove(name: str) -> Callable[[Path], None]:
    return lambda folder: (folder / name).unlink()


def write(name: str, data: bytes) -> Callable[[Path], object]:
    return lambda folder: (folder / name).write_bytes(data)


def remove_a_shard(folder: Path) -> None:
    first_shard(folder).unlink()


def cut_a_shard(folder: Path) -> None:
    os.truncate(first_shard(folder), first_shard(folder).stat().st_size - 1)


def leave_pickles_alone(folder: Path) -> None:
    for path in [*folder.glob("*.safetensors"), folder / INDEX_FILE]:
        path.unlink()
    torch.save({"weight": torch.zeros(2)}, folder / "pytorch_model.bin")


def leave_no_weights(folder: Path) -> None:
    for path in [*folder.glob("*.safetensors"), folder / INDEX_FILE]:
        path.unlink()


def leave_a_variant(folder: Path) -> None:
    """As save_pretrained(variant="fp16") names its index and shards."""
    (folder / INDEX_FILE).rename(folder / "model.safetensors.index.fp16.json")
    for path in folder.glob("*.safetensors"):
        path.rename(path.with_suffix(".fp16.safetensors"))


def leave_a_single_variant(folder: Path) -> None:
    leave_no_weights(folder)
    (folder / "model.fp16.safetensors").write_bytes(b"")


def name_a_shard(shard: str) -> Callable[[Path], None]:
    def spoil(folder: Path) -> None:
        entries = weight_map(folder)
        write_index(folder, {**entries, next(iter(entries)): shard})

    return spoil


def swap_two_shards(folder: Path) -> None:
    first, *_, last = sorted(folder.glob("*.safetensors"))
    data = first.read_bytes()
    first.write_bytes(last.read_bytes())
    last.write_bytes(data)


def name_many_shards(folder: Path) -> None:
    write_index(folder, {f"t{i}": f"s{i}.safetensors" for i in range(MAX_SHARDS + 1)})


SPOILT: dict[str, tuple[Callable[[Path], object], type[GrowthError], str]] = {
    "no-config": (remove("config.json"), InvalidConfig, "no config.json"),
    "config-too-long": (write("config.json", b" " * (MAX_CONFIG_BYTES + 1)), InvalidConfig, "at most"),
    "config-no-json": (write("config.json", b"{"), InvalidConfig, "not valid JSON"),
    "unknown-family": (write("config.json", b'{"model_type": "mamba"}'), UnknownArchitecture, "'mamba'"),
    "no-weights": (leave_no_weights, InvalidCheckpoint, "neither"),
    "pickles-only": (leave_pickles_alone, InvalidCheckpoint, "pytorch_model.bin, a pickle"),
    "variant": (leave_a_variant, InvalidCheckpoint, "model.safetensors.index.fp16.json, a variant"),
    "variant-single": (leave_a_single_variant, InvalidCheckpoint, "model.fp16.safetensors, a variant"),
    "shard-missing": (remove_a_shard, InvalidCheckpoint, "which is not there"),
    "shard-truncated": (cut_a_shard, InvalidCheckpoint, "truncated"),
    "shard-in-the-parent": (name_a_shard("../model.safetensors"), InvalidCheckpoint, "plain file name"),
    "shard-absolute": (name_a_shard("/etc/model.safetensors"), InvalidCheckpoint, "plain file name"),
    "shard-is-a-pickle": (name_a_shard("pytorch_model.bin"), InvalidCheckpoint, "plain file name"),
    "shards-swapped": (swap_two_shards, InvalidCheckpoint, "but it does not"),
    "too-many-shards": (name_many_shards, InvalidCheckpoint, f"at most {MAX_SHARDS}"),
    "index-no-json": (write(INDEX_FILE, b"nonsense"), InvalidCheckpoint, "valid JSON"),
    "single-file-empty": (write(SINGLE_FILE, b""), InvalidCheckpoint, "too few"),
}


@pytest.mark.parametrize(("spoil", "kind", "said"), SPOILT.values(), ids=SPOILT)
def test_spoilt_folders(folder: Path, spoil: Callable[[Path], object], kind: type[GrowthError], said: str) -> None:
    spoil(folder)
    with pytest.raises(kind, match=said) as refused:
        read_source(LocalFolder(folder))
    assert type(refused.value) is kind
    assert refused.value.field == "/source"


def test_a_sharded_source_holds_every_tensor_once(folder: Path) -> None:
    source = read_source(LocalFolder(folder))
    assert source.tensors.keys() == weight_map(folder).keys()
    assert {name: tensor.file for name, tensor in source.tensors.items()} == weight_map(folder)


def test_tensors_of_all_shards_read_as_they_were_written(folder: Path, sharded: Path) -> None:
    whole = tiny_llama(folder / "whole")
    one, many = (read_source(LocalFolder(path)) for path in (whole, folder))
    reader, other = (CheckpointReader(LocalFolder(p), s.tensors) for p, s in ((whole, one), (folder, many)))
    assert all(torch.equal(reader.tensor(name), other.tensor(name)) for name in one.tensors)


def test_the_single_file_goes_before_the_index(folder: Path) -> None:
    """As in transformers: a folder that holds both is read from the single file."""
    (folder / SINGLE_FILE).write_bytes(first_shard(folder).read_bytes())
    assert {tensor.file for tensor in read_source(LocalFolder(folder)).tensors.values()} == {SINGLE_FILE}


class _Measured(LocalFolder):
    bytes_read = 0

    def read(self, name: str, start: int = 0, length: int | None = None) -> bytes:
        data = super().read(name, start, length)
        self.bytes_read += len(data)
        return data


def test_planning_a_large_model_reads_its_headers_alone(tmp_path: Path) -> None:
    """Llama 2 7B as a sparse file of 13 GB."""
    config = LlamaConfig(architectures=["LlamaForCausalLM"])
    with torch.device("meta"):
        parameters = dict(LlamaForCausalLM(config).named_parameters())
    (tmp_path / "config.json").write_text(config.to_json_string())
    head = header_bytes([(name, "BF16", tuple(p.shape), 2 * p.numel()) for name, p in parameters.items()])
    (tmp_path / SINGLE_FILE).write_bytes(head)
    os.truncate(tmp_path / SINGLE_FILE, len(head) + sum(2 * p.numel() for p in parameters.values()))
    folder = _Measured(tmp_path)
    source = read_source(folder)
    plan = make_plan(source.config, source.tensors, {"hidden_size": 8192}, parse_method("hypercloning"))
    assert plan.summary()["source"]["parameters"] == 6_738_415_616
    assert plan.dtype == "bfloat16"
    assert folder.bytes_read < 1 << 18
