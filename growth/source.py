"""The source checkpoint: its config and its tensors' headers, read from a folder by two small reads."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Protocol

from growth.config import MAX_CONFIG_BYTES, ModelConfig
from growth.errors import InvalidCheckpoint, InvalidConfig
from growth.header import INDEX_FILE, MAX_INDEX_BYTES, SINGLE_FILE, TensorInfo, merge_shards, read_header, read_index

MAX_SHARDS = 2_000
PICKLED = (".bin", ".pt", ".pth", ".ckpt")
_VARIANT = re.compile(r"model\.(?:[^.]+\.safetensors|safetensors\.index\.[^.]+\.json)")


class Folder(Protocol):
    """A checkpoint's folder, wherever it lies; every read of a file sees the same version of it."""

    def names(self) -> list[str]:
        """Names of the files directly in the folder."""
        ...

    def size(self, name: str) -> int:
        """Bytes in a file."""
        ...

    def read(self, name: str, start: int = 0, length: int | None = None) -> bytes:
        """`length` bytes from `start`; to the end where None."""
        ...

    def read_into(self, name: str, buffer: memoryview, start: int = 0) -> int:
        """Fills `buffer` from `start` and tells how many bytes there were."""
        ...


@dataclass(frozen=True, slots=True)
class SourceCheckpoint:
    """What a plan needs to know of a checkpoint."""

    config: ModelConfig
    tensors: Mapping[str, TensorInfo]


@dataclass(frozen=True, slots=True)
class _File:
    folder: Folder
    name: str
    size: int

    def read(self, start: int, length: int) -> bytes:
        return self.folder.read(self.name, start, length)


def read_source(folder: Folder) -> SourceCheckpoint:
    """The config and headers of the Hugging Face checkpoint in `folder`.

    Raises InvalidConfig where config.json is missing or bad, UnknownArchitecture for a family without a table, and
    InvalidCheckpoint where the weights are missing, pickled, truncated or not what the index says.
    """
    names = set(folder.names())
    return SourceCheckpoint(_read_config(folder, names), read_tensors(folder, names))


def _read_config(folder: Folder, names: set[str]) -> ModelConfig:
    if "config.json" not in names:
        raise InvalidConfig(
            "The source has no config.json; give the folder that save_pretrained wrote.",
            hint="A source is a folder, or a prefix of a bucket, with config.json and safetensors in it.",
        )
    size = folder.size("config.json")
    if size > MAX_CONFIG_BYTES:
        raise InvalidConfig(f"config.json has {size} bytes; at most {MAX_CONFIG_BYTES} are read.")
    return ModelConfig.parse(folder.read("config.json"))


def read_tensors(folder: Folder, names: Iterable[str]) -> dict[str, TensorInfo]:
    """The headers of all tensors in the folder, of a single file or of the shards that the index names."""
    present = set(names)
    if SINGLE_FILE in present:
        return read_single(folder, SINGLE_FILE)
    if INDEX_FILE in present:
        return read_sharded(folder, present, INDEX_FILE)
    variants = sorted(name for name in present if _VARIANT.fullmatch(name))
    if variants:
        raise InvalidCheckpoint(
            f"The source holds {variants[0][:80]}, a variant, which stock loaders pass over; only {SINGLE_FILE} or "
            f"{INDEX_FILE} is read.",
            hint="Load it and write it with save_pretrained, without a variant; a single file may be renamed instead.",
        )
    pickled = sorted(name for name in present if name.endswith(PICKLED))
    if pickled:
        raise InvalidCheckpoint(
            f"The source holds {pickled[0][:80]}, a pickle, which can run code; only safetensors is read.",
            hint="Load it where you trust it and write it with save_pretrained(..., safe_serialization=True).",
        )
    raise InvalidCheckpoint(f"The source has neither {SINGLE_FILE} nor {INDEX_FILE}; upload the weights first.")


def read_single(folder: Folder, name: str) -> dict[str, TensorInfo]:
    """The headers of the tensors in one file of the folder."""
    return read_header(name, _File(folder, name, folder.size(name)))


def read_sharded(folder: Folder, present: set[str], index: str) -> dict[str, TensorInfo]:
    """The headers of the tensors in the shards that the file `index` names; `present` are the folder's files."""
    size = folder.size(index)
    if size > MAX_INDEX_BYTES:
        raise InvalidCheckpoint(f"{index} has {size} bytes; at most {MAX_INDEX_BYTES} are read.")
    weight_map = read_index(folder.read(index), index)
    shards = sorted(set(weight_map.values()))
    if len(shards) > MAX_SHARDS:
        raise InvalidCheckpoint(f"{index} names {len(shards)} shards; at most {MAX_SHARDS} are read.")
    for shard in shards:
        if shard not in present:
            raise InvalidCheckpoint(f"{index} names the shard {shard}, which is not there; upload it.")
    return merge_shards(weight_map, (read_single(folder, shard) for shard in shards), index)
