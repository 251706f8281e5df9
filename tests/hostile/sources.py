"""Checkpoints that were spoiled on purpose, each a good one with one thing about it changed."""

import json
import os
import struct
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import load_file, save_file

Spoil = Callable[[Path], object]
CONFIG, WEIGHTS, INDEX = "config.json", "model.safetensors", "model.safetensors.index.json"
TERABYTE = 1 << 40


@dataclass(frozen=True)
class Source:
    """How a source is spoiled, and the code that a request for it and a job on it end in."""

    name: str
    code: str
    spoil: Spoil


def _written(name: str, content: bytes) -> Spoil:
    return lambda folder: (folder / name).write_bytes(content)


def _stretched(path: Path, size: int) -> int:
    """The length that a file has now, with nothing on the disk behind what it had."""
    with path.open("r+b") as file:
        return file.truncate(size)


def _config(**changes: Any) -> Spoil:
    def change(folder: Path) -> None:
        raw = json.loads((folder / CONFIG).read_text())
        (folder / CONFIG).write_text(json.dumps({**raw, **changes}))

    return change


def _index(told: object) -> Spoil:
    def replace(folder: Path) -> None:
        (folder / WEIGHTS).unlink()
        (folder / INDEX).write_bytes(told if isinstance(told, bytes) else json.dumps(told).encode())

    return replace


def _shards(names: list[str]) -> Spoil:
    return _index({"weight_map": {f"t{number}": name for number, name in enumerate(names)}})


def file_of(header: object, body: bytes = b"", length: int | None = None) -> bytes:
    """A safetensors file with this header, whether or not it makes sense."""
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text) if length is None else length) + text + body


def _entry(shape: Any = (2,), offsets: Any = (0, 8), dtype: Any = "F32") -> dict[str, Any]:
    return {"dtype": dtype, "shape": shape, "data_offsets": offsets}


def _weights(header: object, body: bytes = b"", length: int | None = None) -> Spoil:
    return _written(WEIGHTS, file_of(header, body, length))


def _sparse(header: object, size: int) -> Spoil:
    """A file of that length with nothing on the disk behind its header."""

    def make(folder: Path) -> None:
        (folder / WEIGHTS).write_bytes(file_of(header))
        _stretched(folder / WEIGHTS, size)

    return make


def _renamed(old: str, new: str) -> Spoil:
    return lambda folder: (folder / old).rename(folder / new)


def _moved_out(name: str) -> Spoil:
    """As good as before, but out of the folder that the request names, with a link in its place."""

    def spoil(folder: Path) -> None:
        outside = (folder / name).rename(folder.parent / f"outside-{name}")
        (folder / name).symlink_to(outside)

    return spoil


def _linked(name: str, target: str) -> Spoil:
    def link(folder: Path) -> None:
        (folder / name).unlink()
        (folder / name).symlink_to(target)

    return link


def _piped(name: str) -> Spoil:
    def make(folder: Path) -> None:
        (folder / name).unlink()
        os.mkfifo(folder / name)

    return make


def _array(change: Callable[[dict[str, Any]], object]) -> Spoil:
    """The weights with their arrays changed."""

    def rewrite(folder: Path) -> None:
        arrays = dict(load_file(folder / WEIGHTS))
        change(arrays)
        save_file(arrays, folder / WEIGHTS, metadata={"format": "pt"})

    return rewrite


def _retyped(dtype: Any) -> Callable[[dict[str, Any]], object]:
    return lambda arrays: arrays.update({name: array.astype(dtype) for name, array in arrays.items()})


def _deep(levels: int = 100_000) -> bytes:
    return b'{"a":' * levels + b"1" + b"}" * levels


_DIGITS = b"9" * 6_000
CONFIGS = [
    Source("config-empty", "invalid_config", _written(CONFIG, b"")),
    Source("config-no-json", "invalid_config", _written(CONFIG, b"model_type: llama")),
    Source("config-a-list", "invalid_config", _written(CONFIG, b"[]")),
    Source("config-null", "invalid_config", _written(CONFIG, b"null")),
    Source("config-no-utf8", "invalid_config", _written(CONFIG, b'{"model_type": "\xff"}')),
    Source("config-deep", "invalid_config", _written(CONFIG, _deep(30_000))),
    Source("config-too-large", "invalid_config", _written(CONFIG, b'{"a": "' + b"x" * (2 << 20) + b'"}')),
    Source("config-of-a-terabyte", "invalid_config", lambda folder: _stretched(folder / CONFIG, TERABYTE)),
    Source("config-of-digits", "invalid_config", _written(CONFIG, b'{"hidden_size": ' + _DIGITS + b"}")),
    Source("config-without-a-family", "unknown_model_type", _written(CONFIG, b"{}")),
    Source("config-family-a-list", "unknown_model_type", _config(model_type=["llama"])),
    Source("config-family-a-path", "unknown_model_type", _config(model_type="../../evil")),
    Source("config-family-of-code", "unknown_model_type", _config(model_type="__import__('os')")),
    Source(
        "config-remote-family", "unknown_model_type", _config(model_type="custom", auto_map={"AutoModel": "evil.M"})
    ),
    Source("config-width-zero", "invalid_config", _config(hidden_size=0)),
    Source("config-width-negative", "invalid_config", _config(hidden_size=-32)),
    Source("config-width-huge", "invalid_config", _config(hidden_size=2**40)),
    Source("config-width-of-the-largest", "invalid_config", _config(hidden_size=2**20 + 8)),
    Source("config-width-text", "invalid_config", _config(hidden_size="32")),
    Source("config-width-fraction", "invalid_config", _config(hidden_size=32.5)),
    Source("config-width-not-a-number", "invalid_config", _config(hidden_size=float("nan"))),
    Source("config-width-bool", "invalid_config", _config(hidden_size=True)),
    Source("config-width-null", "invalid_config", _config(hidden_size=None)),
    Source("config-layers-huge", "invalid_config", _config(num_hidden_layers=2**30)),
    Source("config-more-layers-than-there-are", "invalid_checkpoint", _config(num_hidden_layers=4096)),
    Source("config-heads-zero", "invalid_config", _config(num_attention_heads=0)),
    Source("config-heads-that-do-not-divide", "invalid_config", _config(num_attention_heads=4, num_key_value_heads=3)),
    Source("config-vocabulary-huge", "invalid_config", _config(vocab_size=2**31)),
    Source("config-vocabulary-of-another", "invalid_checkpoint", _config(vocab_size=2**20)),
    Source("config-epsilon-not-a-number", "invalid_config", _config(rms_norm_eps=float("nan"))),
    Source("config-epsilon-negative", "invalid_config", _config(rms_norm_eps=-1)),
    Source("config-epsilon-text", "invalid_config", _config(rms_norm_eps="1e-6")),
    Source("config-spread-infinite", "invalid_config", _config(initializer_range=float("inf"))),
]


_SHARD = "model-00001-of-00001.safetensors"
INDEXES = [
    Source("index-empty", "invalid_checkpoint", _index(b"")),
    Source("index-a-list", "invalid_checkpoint", _index([])),
    Source("index-without-a-map", "invalid_checkpoint", _index({})),
    Source("index-map-empty", "invalid_checkpoint", _index({"weight_map": {}})),
    Source("index-map-a-list", "invalid_checkpoint", _index({"weight_map": ["a"]})),
    Source("index-deep", "invalid_checkpoint", _index(_deep())),
    Source("index-key-twice", "invalid_checkpoint", _index(b'{"weight_map": {"a": "x.safetensors", "a": "y"}}')),
    Source("index-of-a-terabyte", "invalid_checkpoint", lambda f: (_index({})(f), _stretched(f / INDEX, TERABYTE))),
    Source("index-too-many-tensors", "invalid_checkpoint", _shards([_SHARD] * 100_001)),
    Source("index-too-many-shards", "invalid_checkpoint", _shards([f"m-{n}.safetensors" for n in range(2_001)])),
    Source("index-parent", "invalid_checkpoint", _shards(["../secret/model.safetensors"])),
    Source("index-absolute", "invalid_checkpoint", _shards(["/etc/passwd.safetensors"])),
    Source("index-folder", "invalid_checkpoint", _shards(["a/b.safetensors"])),
    Source("index-backslash", "invalid_checkpoint", _shards(["..\\model.safetensors"])),
    Source("index-url", "invalid_checkpoint", _shards(["http://127.0.0.1/m.safetensors"])),
    Source("index-store", "invalid_checkpoint", _shards(["s3://other/m.safetensors"])),
    Source("index-null-byte", "invalid_checkpoint", _shards(["model\0.safetensors"])),
    Source("index-pickle", "invalid_checkpoint", _shards(["pytorch_model.bin"])),
    Source("index-itself", "invalid_checkpoint", _shards([INDEX])),
    Source("index-of-nothing", "invalid_checkpoint", _shards([_SHARD])),
    Source("index-shard-no-text", "invalid_checkpoint", _index({"weight_map": {"a": {"b": 1}}})),
]
HEADERS = [
    Source("weights-empty", "invalid_checkpoint", _written(WEIGHTS, b"")),
    Source("weights-seven-bytes", "invalid_checkpoint", _written(WEIGHTS, bytes(7))),
    Source("weights-zeros", "invalid_checkpoint", _written(WEIGHTS, bytes(4096))),
    Source("weights-pickle", "invalid_checkpoint", _written(WEIGHTS, b"\x80\x02}q\x00." + bytes(64))),
    Source("weights-zip", "invalid_checkpoint", _written(WEIGHTS, b"PK\x03\x04" + bytes(4096))),
    Source("weights-header-beyond-the-file", "invalid_checkpoint", _weights({}, length=1 << 20)),
    Source("weights-header-beyond-64-bits", "invalid_checkpoint", _weights({}, length=2**64 - 1)),
    Source(
        "weights-header-of-a-gigabyte",
        "invalid_checkpoint",
        lambda f: (_weights({}, length=1 << 30)(f), _stretched(f / WEIGHTS, 1 << 31)),
    ),
    Source(
        "weights-header-of-zeros",
        "invalid_checkpoint",
        lambda f: (_weights(b"", length=60_000_000)(f), _stretched(f / WEIGHTS, 1 << 31)),
    ),
    Source("weights-header-no-json", "invalid_checkpoint", _weights(b"{'a': 1}")),
    Source("weights-header-no-utf8", "invalid_checkpoint", _weights(b'{"\xff": 1}')),
    Source("weights-header-a-list", "invalid_checkpoint", _weights([])),
    Source("weights-header-deep", "invalid_checkpoint", _weights(_deep())),
    Source("weights-header-of-digits", "invalid_checkpoint", _weights(b'{"a":{"shape":[' + _DIGITS + b"]}}")),
    Source("weights-name-twice", "invalid_checkpoint", _weights(b'{"a":{"dtype":"F32"},"a":{"dtype":"F32"}}')),
    Source("weights-too-many", "invalid_checkpoint", _weights({f"t{n}": _entry((0,), (0, 0)) for n in range(100_001)})),
    Source("weights-cut", "invalid_checkpoint", lambda f: (f / WEIGHTS).write_bytes((f / WEIGHTS).read_bytes()[:-8])),
    Source(
        "weights-longer", "invalid_checkpoint", lambda f: (f / WEIGHTS).write_bytes((f / WEIGHTS).read_bytes() + b"x")
    ),
    Source("weights-overlap", "invalid_checkpoint", _weights({"a": _entry(), "b": _entry(offsets=(4, 12))}, bytes(12))),
    Source("weights-same-bytes", "invalid_checkpoint", _weights({"a": _entry(), "b": _entry()}, bytes(8))),
    Source("weights-gap", "invalid_checkpoint", _weights({"a": _entry(), "b": _entry(offsets=(12, 20))}, bytes(20))),
    Source("weights-negative-shape", "invalid_checkpoint", _weights({"a": _entry((-1, -2))}, bytes(8))),
    Source("weights-negative-offset", "invalid_checkpoint", _weights({"a": _entry(offsets=(-8, 0))}, bytes(8))),
    Source("weights-reversed-offsets", "invalid_checkpoint", _weights({"a": _entry(offsets=(8, 0))}, bytes(8))),
    Source("weights-shape-overflows", "invalid_checkpoint", _weights({"a": _entry((1 << 40, 1 << 40))}, bytes(8))),
    Source("weights-shape-fraction", "invalid_checkpoint", _weights({"a": _entry((2.0,))}, bytes(8))),
    Source("weights-many-dimensions", "invalid_checkpoint", _weights({"a": _entry((1,) * 64, (0, 4))}, bytes(4))),
    Source("weights-dtype-unknown", "invalid_checkpoint", _weights({"a": _entry(dtype="F8_E4M3")}, bytes(8))),
    Source("weights-dtype-object", "invalid_checkpoint", _weights({"a": _entry(dtype={"a": 1})}, bytes(8))),
    Source("weights-entry-no-object", "invalid_checkpoint", _weights({"a": 3})),
    Source("weights-of-another-model", "invalid_checkpoint", _weights({"a": _entry()}, bytes(8))),
    Source("weights-name-a-path", "invalid_checkpoint", _weights({"../../etc/passwd": _entry()}, bytes(8))),
    Source("weights-of-a-terabyte", "invalid_checkpoint", _sparse({"a": _entry((1 << 38,), (0, 1 << 40))}, TERABYTE)),
    Source("weights-of-whole-numbers", "invalid_checkpoint", _array(_retyped(np.int32))),
    Source("weights-one-tensor-missing", "invalid_checkpoint", _array(lambda arrays: arrays.pop("model.norm.weight"))),
    Source("weights-gone", "invalid_checkpoint", lambda f: (f / WEIGHTS).unlink()),
    Source("weights-pickled-beside", "invalid_checkpoint", _renamed(WEIGHTS, "pytorch_model.bin")),
    Source("weights-a-link", "invalid_checkpoint", _linked(WEIGHTS, "/etc/hostname")),
    Source("weights-a-link-to-itself", "invalid_checkpoint", _linked(WEIGHTS, WEIGHTS)),
    Source("weights-a-pipe", "invalid_checkpoint", _piped(WEIGHTS)),
    Source("weights-a-link-to-good-ones", "invalid_checkpoint", _moved_out(WEIGHTS)),
    Source("config-a-link", "invalid_config", _linked(CONFIG, "/proc/self/environ")),
    Source("config-a-link-to-a-good-one", "invalid_config", _moved_out(CONFIG)),
    Source("config-a-pipe", "invalid_config", _piped(CONFIG)),
]
PLANNED = [*CONFIGS, *INDEXES, *HEADERS]
"""What the service and the worker refuse alike, before any work."""


def _file(name: str, told: object) -> Spoil:
    return _written(name, json.dumps(told).encode())


def _fill(value: float) -> Callable[[dict[str, Any]], object]:
    return lambda arrays: arrays["model.layers.0.mlp.down_proj.weight"].fill(value)


RUN = [
    Source(
        "rope-of-no-known-kind", "invalid_config", _config(rope_parameters={"rope_type": "evil", "rope_theta": 1e4})
    ),
    Source("rope-text", "invalid_config", _config(rope_parameters="evil")),
    Source("rope-base-text", "invalid_config", _config(rope_parameters={"rope_type": "default", "rope_theta": "evil"})),
    Source("activation-of-code", "invalid_config", _config(hidden_act="__import__('os').system('id')")),
    Source("activation-list", "invalid_config", _config(hidden_act=["silu"])),
    Source("dropout-text", "invalid_config", _config(attention_dropout="evil")),
    Source("weights-not-a-number", "invalid_checkpoint", _array(_fill(float("nan")))),
    Source("weights-infinite", "invalid_checkpoint", _array(_fill(float("inf")))),
]
"""What only the work itself can find; the service plans it."""
HARMLESS = [
    Source("remote-code-beside", "", _config(auto_map={"AutoConfig": "evil.C", "AutoModelForCausalLM": "evil.M"})),
    Source("attention-from-elsewhere", "", _config(attn_implementation="somebody/flash-attn")),
    Source("attention-from-elsewhere-by-its-inner-name", "", _config(_attn_implementation="somebody/flash-attn")),
    Source("quantisation-by-a-library", "", _config(quantization_config={"quant_method": "bitsandbytes"})),
    Source("name-of-a-hub-model", "", _config(_name_or_path="somebody/model")),
    Source("dtype-of-code", "", _config(dtype="os.system", torch_dtype="os.system")),
    Source("adapter-beside", "", _file("adapter_config.json", {"base_model_name_or_path": "somebody/model"})),
    Source("card-of-aliases", "", _written("README.md", b"---\na: &a [x,x]\nb: &b [*a,*a]\nlicense: *b\n---\n")),
    Source("card-of-objects", "", _written("README.md", b"---\nlicense: !!python/object/apply:os.system [id]\n---\n")),
    Source("card-deep", "", _written("README.md", b"---\nlicense: " + b"[" * 60_000 + b"\n---\n")),
    Source("card-no-utf8", "", _written("README.md", b"\xff\xfe" * 1000)),
    Source("code-beside", "", _written("modeling_evil.py", b"raise SystemExit")),
]
"""What must change nothing: the job succeeds, and nothing of it is followed or run."""
