"""Safetensors headers and shard indexes from strangers: read exactly, or refused in one sentence."""

import json
import struct
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors import deserialize
from safetensors.numpy import save

from growth.checkpoint import header_bytes
from growth.errors import InvalidCheckpoint
from growth.header import DTYPE_BYTES, MAX_HEADER_BYTES, merge_shards, read_header, read_index

FILE = "model.safetensors"
# Examples are small; a busy machine may take long over one.
unhurried = settings(deadline=None)


@dataclass(frozen=True)
class Bytes:
    """A file in memory; a read beyond its end is a bug of the reader."""

    data: bytes

    @property
    def size(self) -> int:
        return len(self.data)

    def read(self, start: int, length: int) -> bytes:
        assert 0 <= start <= start + length <= len(self.data)
        return self.data[start : start + length]


@dataclass(frozen=True)
class Huge:
    """A file that claims a size, of which only the beginning is ever there."""

    head: bytes
    size: int

    def read(self, start: int, length: int) -> bytes:
        assert start + length <= len(self.head), "more was read than the header"
        return self.head[start : start + length]


def file_of(header: Any, body: bytes = b"", length: int | None = None) -> bytes:
    """A safetensors file with this header, as JSON or as it is, whether or not it makes sense."""
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text) if length is None else length) + text + body


def entry(shape: Any = (2,), offsets: Any = (0, 8), dtype: Any = "F32") -> dict[str, Any]:
    return {"dtype": dtype, "shape": shape, "data_offsets": offsets}


VALID = file_of({"a": entry(), "b": entry(offsets=(8, 16))}, bytes(16))
HOSTILE = {
    "empty": (b"", "too few"),
    "seven-bytes": (bytes(7), "too few"),
    "header-cut": (VALID[:30], "ends inside its header"),
    "body-cut": (VALID[:-1], "truncated"),
    "body-gone": (VALID[:-16], "truncated"),
    "trailing-bytes": (VALID + b"x", "1 bytes after its last tensor"),
    "length-beyond-the-file": (file_of({}, length=1_000), "ends inside its header"),
    "length-beyond-the-limit": (file_of({}, length=MAX_HEADER_BYTES + 1), "at most"),
    "length-of-2**63": (file_of({}, length=1 << 63), "at most"),
    "no-json": (file_of(b"{'a': 1}"), "valid JSON"),
    "no-utf8": (file_of(b'{"\xff\xfe": 1}'), "valid JSON"),
    "pickle": (b"\x80\x02}q\x00(X\x06\x00\x00\x00weightq\x01" + bytes(64), "at most|ends inside|valid JSON"),
    "zip-as-torch-writes": (b"PK\x03\x04" + bytes(100), "at most|ends inside|valid JSON"),
    "a-list": (file_of([]), "JSON object"),
    "deep": (file_of(b'{"a":' + b"[" * 100_000 + b"]" * 100_000 + b"}"), "valid JSON"),
    "huge-number": (
        file_of(b'{"a":{"dtype":"F32","shape":[' + b"9" * 5_000 + b'],"data_offsets":[0,8]}}'),
        "valid JSON",
    ),
    "same-name-twice": (file_of(b'{"a":{"dtype":"F32"},"a":{"dtype":"F32"}}'), "twice"),
    "same-key-twice": (file_of(b'{"a":{"dtype":"F32","dtype":"I8","shape":[],"data_offsets":[0,0]}}'), "twice"),
    "overlap": (file_of({"a": entry(), "b": entry(offsets=(4, 12))}, bytes(12)), "overlapping"),
    "same-bytes-for-two": (file_of({"a": entry(), "b": entry()}, bytes(8)), "overlapping"),
    "gap": (file_of({"a": entry(), "b": entry(offsets=(12, 20))}, bytes(20)), "gap"),
    "gap-at-the-start": (file_of({"a": entry(offsets=(4, 12))}, bytes(12)), "gap"),
    "empty-tensor-outside": (file_of({"a": entry(shape=(0,), offsets=(999, 999))}), "gap"),
    "entry-is-no-object": (file_of({"a": 3}), "must have dtype"),
    "no-dtype": (file_of({"a": {"shape": [2], "data_offsets": [0, 8]}}, bytes(8)), "must have dtype"),
    "no-shape": (file_of({"a": {"dtype": "F32", "data_offsets": [0, 8]}}, bytes(8)), "whole numbers"),
    "no-offsets": (file_of({"a": {"dtype": "F32", "shape": [2]}}, bytes(8)), "whole numbers"),
    "one-offset": (file_of({"a": entry(offsets=(8,))}, bytes(8)), "whole numbers"),
    "three-offsets": (file_of({"a": entry(offsets=(0, 8, 8))}, bytes(8)), "whole numbers"),
    "negative-shape": (file_of({"a": entry(shape=(-2,), offsets=(0, 8))}, bytes(8)), "whole numbers"),
    "negatives-that-multiply": (file_of({"a": entry(shape=(-1, -2))}, bytes(8)), "whole numbers"),
    "negative-offset": (file_of({"a": entry(offsets=(-8, 0))}, bytes(8)), "whole numbers"),
    "float-shape": (file_of({"a": entry(shape=(2.0,))}, bytes(8)), "whole numbers"),
    "bool-shape": (file_of({"a": entry(shape=(True, 2))}, bytes(8)), "whole numbers"),
    "text-shape": (file_of({"a": entry(shape="2")}, bytes(8)), "whole numbers"),
    "null-shape": (file_of({"a": entry(shape=None)}, bytes(8)), "whole numbers"),
    "many-dimensions": (file_of({"a": entry(shape=(1,) * 17, offsets=(0, 4))}, bytes(4)), "whole numbers"),
    "shape-larger-than-bytes": (file_of({"a": entry(shape=(3,))}, bytes(8)), "disagree"),
    "shape-overflows-64-bits": (file_of({"a": entry(shape=(1 << 40, 1 << 40))}, bytes(8)), "disagree"),
    "reversed-offsets": (file_of({"a": entry(offsets=(8, 0))}, bytes(8)), "disagree"),
    "unknown-dtype": (file_of({"a": entry(dtype="F8_E4M3", shape=(8,))}, bytes(8)), "F8_E4M3"),
    "dtype-is-a-list": (file_of({"a": entry(dtype=["F32"])}, bytes(8)), "must have dtype"),
    "too-many-tensors": (
        file_of({f"t{i}": entry(shape=(0,), offsets=(0, 0)) for i in range(100_001)}),
        "at most 100000",
    ),
}


@pytest.mark.parametrize(("data", "said"), HOSTILE.values(), ids=HOSTILE)
def test_hostile_headers_are_refused(data: bytes, said: str) -> None:
    with pytest.raises(InvalidCheckpoint, match=said) as refused:
        read_header(FILE, Bytes(data))
    sentence = str(refused.value)
    assert FILE in sentence
    assert len(sentence) < 400
    sentence.encode()


def test_a_name_in_a_refusal_is_cut_and_quoted() -> None:
    name = "\ud800\n" + "x" * 10_000
    with pytest.raises(InvalidCheckpoint) as refused:
        read_header(FILE, Bytes(file_of({name: 3})))
    assert len(str(refused.value).encode()) < 300
    assert "\n" not in str(refused.value)


def test_only_the_header_of_a_large_file_is_read() -> None:
    header = file_of({"a": entry(shape=(1 << 34,), offsets=(0, 1 << 36))})
    tensors = read_header(FILE, Huge(header + bytes((1 << 16) - len(header)), len(header) + (1 << 36)))
    assert tensors["a"].nbytes == 1 << 36


def test_a_header_longer_than_the_first_read() -> None:
    header = {f"layer.{i}": entry(shape=(0,), offsets=(0, 0)) for i in range(5_000)}
    data = file_of(header)
    assert len(data) > 1 << 18
    assert read_header(FILE, Bytes(data)).keys() == header.keys()


names = st.text(st.characters(codec="utf-8"), min_size=1, max_size=12).filter(lambda name: name != "__metadata__")
shapes = st.lists(st.integers(0, 4), max_size=3).map(tuple)
dtypes = st.sampled_from(["float64", "float32", "float16", "int64", "int32", "int16", "int8", "uint8", "bool"])


@unhurried
@given(tensors=st.dictionaries(names, st.tuples(shapes, dtypes), max_size=6), noted=st.booleans())
def test_reads_what_the_stock_writer_writes(tensors: dict[str, tuple[tuple[int, ...], str]], noted: bool) -> None:
    arrays = {name: np.ones(shape, dtype) for name, (shape, dtype) in tensors.items()}
    data = save(arrays, metadata={"format": "np"} if noted else None)
    found = read_header(FILE, Bytes(data))
    assert found.keys() == arrays.keys()
    for name, array in arrays.items():
        assert found[name].shape == array.shape
        assert data[found[name].start : found[name].stop] == array.tobytes()


@unhurried
@given(tensors=st.dictionaries(names, st.tuples(shapes, st.sampled_from(sorted(DTYPE_BYTES))), max_size=6))
def test_the_stock_reader_reads_what_we_write(tensors: dict[str, tuple[tuple[int, ...], str]]) -> None:
    rows = [(name, d, shape, int(np.prod(shape)) * DTYPE_BYTES[d]) for name, (shape, d) in tensors.items()]
    head = header_bytes(rows)
    body = bytes(sum(row[3] for row in rows))
    assert len(head) % 8 == 0
    stock = dict(deserialize(head + body))  # type: ignore[no-untyped-call]
    assert {name: (t["dtype"], tuple(t["shape"])) for name, t in stock.items()} == {r[0]: (r[1], r[2]) for r in rows}
    assert {name: (t.dtype, t.shape) for name, t in read_header(FILE, Bytes(head + body)).items()} == {
        row[0]: (row[1], row[2]) for row in rows
    }


def assert_read_or_refused(data: bytes) -> None:
    try:
        tensors = read_header(FILE, Bytes(data))
    except InvalidCheckpoint:
        return
    covered = sorted((t.start, t.stop) for t in tensors.values())
    assert all(0 <= start <= stop <= len(data) for start, stop in covered)
    assert sum(stop - start for start, stop in covered) == len(data) - 8 - int.from_bytes(data[:8], "little")


@unhurried
@given(st.binary(max_size=200))
def test_any_bytes_are_refused_or_read(data: bytes) -> None:
    assert_read_or_refused(data)


@unhurried
@given(position=st.integers(0, len(VALID) - 1), value=st.integers(0, 255))
def test_any_changed_byte_is_refused_or_read(position: int, value: int) -> None:
    assert_read_or_refused(VALID[:position] + bytes([value]) + VALID[position + 1 :])


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)


@unhurried
@given(
    header=st.dictionaries(
        st.text(max_size=3),
        json_values
        | st.fixed_dictionaries(
            {
                "dtype": st.sampled_from(["F32", "I8", "?"]) | json_values,
                "shape": st.lists(st.integers(-1, 3), max_size=2) | json_values,
                "data_offsets": st.lists(st.integers(-1, 16), min_size=2, max_size=2) | json_values,
            }
        ),
        max_size=3,
    ),
    body=st.integers(0, 20),
)
def test_any_json_header_is_refused_or_read(header: dict[str, Any], body: int) -> None:
    assert_read_or_refused(file_of(header, bytes(body)))


SHARD = "model-00001-of-00002.safetensors"
BAD_SHARDS = {
    "parent": "../model.safetensors",
    "parent-inside": "a/../../model.safetensors",
    "absolute": "/etc/passwd.safetensors",
    "folder": "weights/model.safetensors",
    "backslash": "..\\model.safetensors",
    "url": "http://example.org/model.safetensors",
    "query": "model.safetensors?x=.safetensors",
    "null-byte": "model\0.safetensors",
    "newline": "model.safetensors\n",
    "no-name": ".safetensors",
    "pickle": "pytorch_model.bin",
    "too-long": "m" * 201 + ".safetensors",
    "space": "my model.safetensors",
    "no-text": 5,
    "null": None,
    "list": ["a.safetensors"],
}


@pytest.mark.parametrize("shard", BAD_SHARDS.values(), ids=BAD_SHARDS)
def test_shard_names_that_leave_the_folder_are_refused(shard: object) -> None:
    with pytest.raises(InvalidCheckpoint, match="names the shard"):
        read_index(json.dumps({"weight_map": {"a": SHARD, "b": shard}}).encode())


BAD_INDEXES = {
    "no-json": (b"{", "valid JSON"),
    "a-list": (b"[]", "JSON object"),
    "no-weight-map": (b"{}", "weight_map"),
    "empty-weight-map": (b'{"weight_map": {}}', "weight_map"),
    "weight-map-is-a-list": (b'{"weight_map": ["a"]}', "weight_map"),
    "same-tensor-twice": (b'{"weight_map": {"a": "x.safetensors", "a": "y.safetensors"}}', "twice"),
    "too-many": (json.dumps({"weight_map": {f"t{i}": SHARD for i in range(100_001)}}).encode(), "100000"),
    "deep": (b'{"weight_map":' + b"[" * 100_000, "valid JSON"),
}


@pytest.mark.parametrize(("data", "said"), BAD_INDEXES.values(), ids=BAD_INDEXES)
def test_bad_indexes_are_refused(data: bytes, said: str) -> None:
    with pytest.raises(InvalidCheckpoint, match=said):
        read_index(data)


def test_a_shard_that_lacks_what_the_index_says() -> None:
    held = read_header(SHARD, Bytes(file_of({"a": entry()}, bytes(8))))
    assert merge_shards({"a": SHARD}, [held]).keys() == {"a"}
    with pytest.raises(InvalidCheckpoint, match=r"says that .* holds 'b'"):
        merge_shards({"a": SHARD, "b": SHARD}, [held])
    with pytest.raises(InvalidCheckpoint, match=r"other\.safetensors holds 'a'"):
        merge_shards({"a": "other.safetensors"}, [held])
