"""Files of token ids, `.npy` arrays and raw `.bin`, read in pieces; every id is looked at before it is used."""

import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import prod

import numpy as np
from numpy.typing import NDArray

from growth.errors import InvalidData
from worker.data.files import DataFile
from worker.data.packing import Run

ENDINGS = (".npy", ".bin")
PIECE_TOKENS = 1 << 21
_RUN_TOKENS = 1 << 16
_MAX_HEADER_BYTES = 1 << 16


@dataclass(frozen=True, slots=True)
class _Array:
    """Where a file's token ids lie."""

    file: DataFile
    start: int
    dtype: np.dtype[np.integer]
    count: int


@dataclass(frozen=True, slots=True)
class _Piece:
    array: _Array
    first: int
    count: int


class TokenRuns:
    """Token ids as they are, without ends of documents other than those among them."""

    def __init__(self, files: Sequence[DataFile], bin_dtype: str, vocab_size: int) -> None:
        """Looks at the head of every `.npy`. Raises InvalidData where one is none, or a `.bin` is cut inside an id."""
        arrays = [_bin(file, bin_dtype) if file.name.lower().endswith(".bin") else _npy(file) for file in files]
        self._vocab_size = vocab_size
        self._pieces = [
            _Piece(array, first, min(PIECE_TOKENS, array.count - first))
            for array in arrays
            for first in range(0, array.count, PIECE_TOKENS)
        ]

    @property
    def pieces(self) -> int:
        return len(self._pieces)

    def runs(self, piece: int, at: int) -> Iterator[Run]:
        """The ids of a piece from its token `at`. Raises InvalidData at an id outside of the vocabulary."""
        part = self._pieces[piece]
        while at < part.count:
            count = min(_RUN_TOKENS, part.count - at)
            yield Run(at, self._read(part, at, count))
            at += count

    def _read(self, piece: _Piece, at: int, count: int) -> NDArray[np.int32]:
        array = piece.array
        size = array.dtype.itemsize
        content = array.file.read(array.start + (piece.first + at) * size, count * size)
        ids = np.frombuffer(content, dtype=array.dtype)
        check_vocabulary(ids, self._vocab_size, array.file.name)
        return ids.astype(np.int32)


def check_vocabulary(ids: NDArray[np.integer], vocab_size: int, name: str) -> None:
    """Raises InvalidData where an id lies outside of the vocabulary."""
    if not len(ids):
        return
    low, high = int(ids.min()), int(ids.max())
    if low < 0 or high >= vocab_size:
        raise InvalidData(
            f"{name} has token id {low if low < 0 else high}, but the model's vocab_size is {vocab_size}; give tokens "
            "of its own tokenizer."
        )


def _bin(file: DataFile, dtype: str) -> _Array:
    kind: np.dtype[np.integer] = np.dtype(dtype).newbyteorder("<")
    if file.size % kind.itemsize:
        raise InvalidData(
            f"{file.name} has {file.size} bytes, which is no multiple of the {kind.itemsize} of {dtype}; name the "
            "dtype that it was written in.",
            field="/data/token_dtype",
        )
    return _Array(file, 0, kind, file.size // kind.itemsize)


def _npy(file: DataFile) -> _Array:
    head = io.BytesIO(file.read(0, _MAX_HEADER_BYTES))
    try:
        version = np.lib.format.read_magic(head)
        read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        shape, by_columns, dtype = read(head)
    except Exception as error:  # numpy tells bytes that are no array in half a dozen ways
        raise InvalidData(f"{file.name} is no .npy array; write token ids with numpy.save.") from error
    if not np.issubdtype(dtype, np.integer):
        raise InvalidData(f"{file.name} does not hold an array of whole numbers, which token ids are.")
    if min(shape, default=0) < 0 or file.size != head.tell() + prod(shape) * dtype.itemsize:
        raise InvalidData(f"{file.name} is no .npy array of the length that its head tells; write it again.")
    if by_columns and sum(side > 1 for side in shape) > 1:
        raise InvalidData(f"{file.name} is stored by columns; write numpy.ascontiguousarray of it.")
    return _Array(file, head.tell(), dtype, prod(shape))
