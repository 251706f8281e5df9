"""Safetensors as torch tensors: a reader that fetches what is asked for, a writer that puts the header first."""

import json
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from math import prod
from typing import Protocol

import torch
from torch import Tensor

from growth.buffers import Buffers
from growth.errors import InvalidCheckpoint
from growth.header import TensorInfo
from growth.plan import DTYPE_CODES, Dtype
from growth.source import Folder
from growth.windows import WINDOW_BYTES, Window, windows_of

TORCH_DTYPES = {"F64": torch.float64, "F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16}


class Planned(Protocol):
    """A tensor that is to be written."""

    @property
    def name(self) -> str: ...
    @property
    def shape(self) -> tuple[int, ...]: ...
    @property
    def nbytes(self) -> int: ...


_WINDOWS_HELD = 4


class CheckpointReader:
    """The tensors of a checkpoint, each read when it is asked for, small ones together with their neighbours."""

    def __init__(self, folder: Folder, tensors: Mapping[str, TensorInfo]) -> None:
        self._folder = folder
        self._tensors = tensors
        self._windows = windows_of(tensors.values())
        self._held: OrderedDict[Window, memoryview] = OrderedDict()
        self._buffers = Buffers()
        self._last: tuple[str, Tensor] | None = None

    def tensor(self, name: str) -> Tensor:
        """The tensor `name` as it is stored, on the CPU; not to be written to. The last one is kept: ask in a row."""
        if self._last is None or self._last[0] != name:
            # Let go first, so that its memory can be used again.
            self._last = None
            self._last = name, self._read(self._tensors[name], name)
        return self._last[1]

    def _read(self, info: TensorInfo, name: str) -> Tensor:
        if not prod(info.shape):
            return torch.empty(info.shape, dtype=TORCH_DTYPES[info.dtype])
        window = self._windows[info]
        buffer = self._held.get(window)
        if buffer is None:
            buffer = self._fetch(window, name)
        at = info.start - window.start
        return torch.frombuffer(buffer[at : at + info.nbytes], dtype=TORCH_DTYPES[info.dtype]).view(info.shape)

    def _fetch(self, window: Window, name: str) -> memoryview:
        small = window.nbytes <= WINDOW_BYTES
        buffer = memoryview(bytearray(window.nbytes)) if small else self._buffers.lend(window.nbytes)
        if self._folder.read_into(window.file, buffer, window.start) != window.nbytes:
            raise InvalidCheckpoint(f"{window.file} ends inside tensor {name!r}; upload it again.")
        if small:
            self._held[window] = buffer
            if len(self._held) > _WINDOWS_HELD:
                self._held.popitem(last=False)
        return buffer

    def wide(self, name: str) -> Tensor:
        """The tensor `name` in float32, or float64 where it is stored so."""
        tensor = self.tensor(name)
        return tensor if tensor.dtype is torch.float64 else tensor.float()


def header_bytes(tensors: Sequence[tuple[str, str, tuple[int, ...], int]]) -> bytes:
    """The beginning of a safetensors file for tensors (name, dtype code, shape, bytes) in the order of their bytes."""
    header: dict[str, object] = {"__metadata__": {"format": "pt"}}
    offset = 0
    for name, dtype, shape, nbytes in tensors:
        header[name] = {"dtype": dtype, "shape": list(shape), "data_offsets": [offset, offset + nbytes]}
        offset += nbytes
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text


def shard_header(shard: Sequence[Planned], dtype: Dtype) -> bytes:
    """The beginning of a shard of planned tensors."""
    return header_bytes([(t.name, DTYPE_CODES[dtype], t.shape, t.nbytes) for t in shard])


def raw_bytes(tensor: Tensor) -> memoryview:
    """The bytes of a tensor as safetensors stores them (little-endian, row-major), without a copy where possible."""
    return tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().data
