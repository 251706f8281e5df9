"""The header of a safetensors file and the index over several, read without trust and without torch.

Format: 8 bytes little-endian header length, a JSON header, then the tensors' bytes back to back.
"""

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from math import prod
from typing import Any, Protocol, TypeGuard

from growth.errors import InvalidCheckpoint

FIRST_READ_BYTES = 1 << 16
MAX_HEADER_BYTES = 100_000_000
MAX_INDEX_BYTES = 100_000_000
MAX_TENSORS = 100_000
SINGLE_FILE = "model.safetensors"
INDEX_FILE = "model.safetensors.index.json"

DTYPE_BYTES = {"F64": 8, "F32": 4, "F16": 2, "BF16": 2, "I64": 8, "I32": 4, "I16": 2, "I8": 1, "U8": 1, "BOOL": 1}
FLOATING = ("F64", "F32", "F16", "BF16")
_SHARD_NAME = re.compile(r"[A-Za-z0-9._-]{1,200}\.safetensors")


class ByteSource(Protocol):
    """A file that can be read in ranges."""

    @property
    def size(self) -> int: ...

    def read(self, start: int, length: int) -> bytes:
        """`length` bytes from `start`."""
        ...


@dataclass(frozen=True, slots=True)
class TensorInfo:
    """One tensor in a file: its dtype as safetensors writes it, and where its bytes lie in the file."""

    name: str
    file: str
    dtype: str
    shape: tuple[int, ...]
    start: int
    stop: int

    @property
    def nbytes(self) -> int:
        return self.stop - self.start

    @property
    def place(self) -> tuple[str, int, int]:
        """Sorts tensors as their bytes lie."""
        return self.file, self.start, self.stop


def read_header(file: str, source: ByteSource) -> dict[str, TensorInfo]:
    """The tensors of one safetensors file, by name.

    Raises InvalidCheckpoint where the file is cut short, has duplicate or overlapping tensors, or bytes that no tensor
    covers: whatever a stock writer would not have written.
    """
    if source.size < 8:
        raise InvalidCheckpoint(f"{file} has {source.size} bytes, too few for a safetensors file; upload it again.")
    head = source.read(0, min(FIRST_READ_BYTES, source.size))
    length = int.from_bytes(head[:8], "little")
    if length > MAX_HEADER_BYTES:
        raise InvalidCheckpoint(f"{file} announces a header of {length} bytes; at most {MAX_HEADER_BYTES} are read.")
    if 8 + length > source.size:
        raise InvalidCheckpoint(f"{file} ends inside its header: it is truncated, or no safetensors file.")
    if 8 + length > len(head):
        head += source.read(len(head), 8 + length - len(head))
    entries = _parse_object(file, head[8 : 8 + length])
    entries.pop("__metadata__", None)
    if len(entries) > MAX_TENSORS:
        raise InvalidCheckpoint(f"{file} has {len(entries)} tensors; at most {MAX_TENSORS} are read.")
    tensors = {name: _tensor(file, name, entry, 8 + length) for name, entry in entries.items()}
    _check_cover(file, tensors.values(), 8 + length, source.size)
    return tensors


def _parse_object(file: str, text: bytes) -> dict[str, Any]:
    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        parsed = dict(pairs)
        if len(parsed) != len(pairs):
            raise InvalidCheckpoint(f"{file} names a key twice in its header; write it again with safetensors.")
        return parsed

    try:
        parsed = json.loads(text, object_pairs_hook=unique)
    except InvalidCheckpoint:
        raise
    except (ValueError, RecursionError) as error:
        raise InvalidCheckpoint(f"{file} does not hold valid JSON where it must: it is no safetensors file.") from error
    if not isinstance(parsed, dict):
        raise InvalidCheckpoint(f"{file} must hold a JSON object.")
    return parsed


def _whole_numbers(value: object) -> TypeGuard[list[int]]:
    return isinstance(value, list) and all(isinstance(n, int) and not isinstance(n, bool) and n >= 0 for n in value)


def _tensor(file: str, name: str, entry: object, origin: int) -> TensorInfo:
    told = f"{file} describes tensor {name[:80]!r} wrongly"
    if not isinstance(entry, dict) or not isinstance(entry.get("dtype"), str):
        raise InvalidCheckpoint(f"{told}: it must have dtype, shape and data_offsets.")
    shape, offsets = entry.get("shape"), entry.get("data_offsets")
    if not _whole_numbers(shape) or not _whole_numbers(offsets) or len(offsets) != 2 or len(shape) > 16:
        raise InvalidCheckpoint(f"{told}: shape and data_offsets must be lists of whole numbers.")
    dtype = entry["dtype"]
    if dtype not in DTYPE_BYTES:
        raise InvalidCheckpoint(
            f"{file} holds tensor {name[:80]!r} as {dtype[:20]}; take one of {', '.join(DTYPE_BYTES)}."
        )
    if offsets[1] - offsets[0] != prod(shape) * DTYPE_BYTES[dtype]:
        raise InvalidCheckpoint(f"{told}: its shape and its bytes disagree.")
    return TensorInfo(name, file, dtype, tuple(shape), origin + offsets[0], origin + offsets[1])


def _check_cover(file: str, tensors: Iterable[TensorInfo], origin: int, size: int) -> None:
    position = origin
    for tensor in sorted(tensors, key=lambda t: (t.start, t.stop)):
        if tensor.start != position:
            raise InvalidCheckpoint(f"{file} has overlapping tensors or a gap at byte {position}; write it again.")
        position = tensor.stop
    if position > size:
        raise InvalidCheckpoint(f"{file} is truncated: it has {size} bytes and its tensors need {position}.")
    if position < size:
        raise InvalidCheckpoint(f"{file} has {size - position} bytes after its last tensor; write it again.")


def read_index(data: bytes, file: str = INDEX_FILE) -> dict[str, str]:
    """The weight map of an index such as `model.safetensors.index.json`: tensor name -> shard file name.

    Raises InvalidCheckpoint for a shard name that could leave the checkpoint's folder.
    """
    if len(data) > MAX_INDEX_BYTES:
        raise InvalidCheckpoint(f"{file} has {len(data)} bytes; at most {MAX_INDEX_BYTES} are read.")
    weight_map = _parse_object(file, data).get("weight_map")
    if not isinstance(weight_map, dict) or not weight_map or len(weight_map) > MAX_TENSORS:
        raise InvalidCheckpoint(f"{file} must hold a weight_map with 1 to {MAX_TENSORS} tensors.")
    for shard in set(map(str, weight_map.values())):
        if not _SHARD_NAME.fullmatch(shard):
            raise InvalidCheckpoint(
                f"{file} names the shard {shard[:80]!r}; a shard is a plain file name such as "
                "model-00001-of-00002.safetensors."
            )
    return {str(name): str(shard) for name, shard in weight_map.items()}


def merge_shards(
    weight_map: Mapping[str, str], headers: Iterable[Mapping[str, TensorInfo]], file: str = INDEX_FILE
) -> dict[str, TensorInfo]:
    """The tensors of a sharded checkpoint; every name in the index must be in the shard that the index names."""
    found: dict[str, TensorInfo] = {}
    for header in headers:
        for name, tensor in header.items():
            if weight_map.get(name) == tensor.file:
                found[name] = tensor
    missing = sorted(set(weight_map) - set(found))
    if missing:
        raise InvalidCheckpoint(
            f"{file} says that {weight_map[missing[0]]} holds {missing[0][:80]!r}, but it does not."
        )
    return found
