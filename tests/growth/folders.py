"""Checkpoint folders on disk: one to read from, and a grown one written shard by shard as stock loaders expect it."""

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from growth.checkpoint import CheckpointReader
from growth.expand import expand
from growth.header import INDEX_FILE, SINGLE_FILE
from growth.plan import GrowthPlan


@dataclass
class DirectoryFolder:
    """The files of a directory, and how many bytes of each were read."""

    path: Path
    bytes_read: dict[str, int] = field(default_factory=dict)

    def names(self) -> list[str]:
        return sorted(file.name for file in self.path.iterdir())

    def size(self, name: str) -> int:
        return (self.path / name).stat().st_size

    def read(self, name: str, start: int = 0, length: int | None = None) -> bytes:
        with (self.path / name).open("rb") as file:
            file.seek(start)
            data = file.read() if length is None else file.read(length)
        self.bytes_read[name] = self.bytes_read.get(name, 0) + len(data)
        return data

    def read_into(self, name: str, buffer: memoryview, start: int = 0) -> int:
        data = self.read(name, start, len(buffer))
        buffer[: len(data)] = data
        return len(data)


class FileSink:
    """A shard on disk; it must be given exactly the bytes that were announced."""

    def __init__(self, path: Path, nbytes: int) -> None:
        self._path = path
        self._left = nbytes
        self._file = path.open("xb")

    def write(self, data: memoryview) -> None:
        self._left -= data.nbytes
        assert self._left >= 0
        self._file.write(data)

    def close(self) -> Path:
        assert self._left == 0
        self._file.close()
        return self._path

    def abort(self) -> None:
        self._file.close()
        self._path.unlink()


def shard_name(plan: GrowthPlan, index: int) -> str:
    """The stock name of a shard."""
    count = len(plan.shards)
    return SINGLE_FILE if count == 1 else f"model-{index + 1:05}-of-{count:05}.safetensors"


def write_grown(
    plan: GrowthPlan,
    reader: CheckpointReader,
    folder: Path,
    on_progress: Callable[[float], None] = lambda _: None,
) -> Path:
    """Expand `plan` by its own operator into `folder`: shards, index and config.json. Returns `folder`."""
    folder.mkdir(exist_ok=True)
    expand(
        plan,
        plan.operator,
        reader,
        lambda index, nbytes: FileSink(folder / shard_name(plan, index), nbytes),
        on_progress,
    )
    (folder / "config.json").write_text(json.dumps(plan.target.raw))
    if len(plan.shards) > 1:
        weight_map = {t.name: shard_name(plan, index) for index, shard in enumerate(plan.shards) for t in shard}
        index = {"metadata": {"total_size": plan.target_bytes}, "weight_map": weight_map}
        (folder / INDEX_FILE).write_text(json.dumps(index))
    return folder
