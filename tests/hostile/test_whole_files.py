"""Files that a worker reads whole: an operator, a tokenizer, and whatever lies where the output goes."""

import json
import pickle
from collections.abc import Callable
from pathlib import Path
from shutil import copytree
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save

from tests.hostile.test_corpora import failed

# As in a worker's child: a warning ends nothing there, and must not hide here what comes after it.
pytestmark = pytest.mark.filterwarnings("ignore")
TERABYTE = 1 << 40
Make = Callable[[Path], object]
SIZES = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2}


def _bytes(content: bytes, size: int | None = None) -> Make:
    """A file with this content, and nothing but zeros up to a size."""

    def make(file: Path) -> None:
        file.parent.mkdir(exist_ok=True)
        file.write_bytes(content)
        if size is not None:
            with file.open("r+b") as stretched:
                stretched.truncate(size)

    return make


def _operator(told: object, **tensors: Any) -> bytes:
    metadata = {"operator": told if isinstance(told, str) else json.dumps(told)}
    return save({name: np.asarray(tensor) for name, tensor in tensors.items()}, metadata=metadata)


def _header(length: int, text: bytes = b"") -> bytes:
    return length.to_bytes(8, "little") + text


_TOLD: dict[str, Any] = {"format": "model-growth operator 1", "model_type": "llama", "sparse_depth": [], "noise": None}
OPERATORS: dict[str, Make] = {
    "empty": _bytes(b""),
    "pickle": _bytes(pickle.dumps({"axes": 1})),
    "zip": _bytes(b"PK\x03\x04" + bytes(4096)),
    "of-a-terabyte": _bytes(_header(2, b"{}"), TERABYTE),
    "of-two-gigabytes": _bytes(_operator(_TOLD), 2 << 30),
    "header-of-a-gigabyte": _bytes(_header(1 << 30), 2 << 30),
    "header-beyond-64-bits": _bytes(_header(2**64 - 1)),
    "header-deep": _bytes(_header(400_000, b'{"a":' * 80_000)),
    "told-deep": _bytes(_operator("[" * 100_000)),
    "told-a-list": _bytes(_operator([])),
    "told-nothing": _bytes(_operator({"format": "model-growth operator 1"})),
    "other-sizes": _bytes(_operator({**_TOLD, "source": SIZES, "target": SIZES})),
    "no-tensors": _bytes(_operator(_TOLD)),
    "a-folder": lambda file: file.mkdir(parents=True),
    "a-link": lambda file: file.symlink_to("/etc/passwd"),
}


def _request(llama: Path, folder: Path, **changes: Any) -> dict[str, Any]:
    return {
        "source": f"file://{llama}",
        "output": f"file://{folder}/grown",
        "target": {"hidden_size": 64},
        "method": "hypercloning",
    } | changes


@pytest.mark.parametrize("name", OPERATORS)
def test_a_job_with_a_hostile_operator_fails(name: str, llama: Path, tmp_path: Path) -> None:
    file = tmp_path / "operator.safetensors"
    OPERATORS[name](file)
    body = _request(llama, tmp_path, method={"name": "ligo", "operator": f"file://{file}"})
    ended = failed(body, tmp_path)
    expected = {"a-folder": "not_found", "a-link": "access_denied"}.get(name, "invalid_operator")
    assert ended.failure.code == expected, ended.failure


def test_a_file_that_is_too_large_is_told_so(llama: Path, tmp_path: Path) -> None:
    file = tmp_path / "operator.safetensors"
    OPERATORS["of-a-terabyte"](file)
    ended = failed(_request(llama, tmp_path, method={"name": "ligo", "operator": f"file://{file}"}), tmp_path)
    assert (ended.failure.code, ended.failure.field) == ("invalid_operator", "/method/operator")
    assert f"has {TERABYTE} bytes" in ended.failure.detail


@pytest.mark.parametrize("size", [65 << 20, 3 << 30, TERABYTE])
@pytest.mark.parametrize("file", ["tokenizer.json", "vocab.txt"])
def test_a_tokenizer_of_an_untrained_source(file: str, size: int, llama: Path, tmp_path: Path) -> None:
    tokenizer = tmp_path / "tokenizer"
    copytree(llama, tokenizer, ignore=lambda *_: ["model.safetensors"])
    _bytes(b"{}", size)(tokenizer / file)
    (tmp_path / "data.txt").write_text("a model grows " * 2000)
    config = json.loads((llama / "config.json").read_text())
    body = _request(
        llama,
        tmp_path,
        source={"config": config, "pretrain": {"steps": 2, "batch_size": 2}, "tokenizer": f"file://{tokenizer}"},
        data={"uri": f"file://{tmp_path}/data.txt", "sequence_length": 16},
    )
    ended = failed(body, tmp_path)
    assert (ended.failure.code, ended.failure.field) == ("invalid_data", "/source/tokenizer")


@pytest.mark.parametrize("size", [None, 3 << 30, TERABYTE])
@pytest.mark.parametrize("content", [b"{}", b"[" * 100_000, b'{"job_id": "job-2"}'])
@pytest.mark.parametrize("file", ["growth.json", "model.safetensors.index.json", "config.json"])
def test_what_has_come_to_the_output_since_it_was_planned(
    file: str, content: bytes, size: int | None, llama: Path, tmp_path: Path
) -> None:
    found = tmp_path / "grown" / file
    _bytes(content, size)(found)
    ended = failed(_request(llama, tmp_path), tmp_path, left={file})
    assert ended.failure.code == "output_exists", ended.failure
    assert found.read_bytes()[: len(content)] == content if size is None else found.stat().st_size == size
