"""Checkpoint folders on this machine's disk: one to read from, and a grown one written as stock loaders expect it."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from growth.checkpoint import CheckpointReader
from growth.expand import expand
from growth.header import INDEX_FILE, SINGLE_FILE
from growth.operators.operator import GrowthOperator
from growth.plan import GrowthPlan


class LocalFolder:
    """A `growth.source.Folder` on disk, whose files must not change while they are read."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def names(self) -> list[str]:
        return sorted(file.name for file in self.path.iterdir() if file.is_file())

    def size(self, name: str) -> int:
        return (self.path / name).stat().st_size

    def read(self, name: str, start: int = 0, length: int | None = None) -> bytes:
        with (self.path / name).open("rb") as file:
            file.seek(start)
            return file.read() if length is None else file.read(length)

    def read_into(self, name: str, buffer: memoryview, start: int = 0) -> int:
        with (self.path / name).open("rb", buffering=0) as file:
            file.seek(start)
            done = 0
            # The system gives at most 2 GiB at once.
            while done < len(buffer) and (read := file.readinto(buffer[done:])):
                done += read
        return done


class FileSink:
    """A `growth.expand.ShardSink` into a file that is not there yet, of exactly so many bytes."""

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


def write_checkpoint(
    plan: GrowthPlan,
    operator: GrowthOperator,
    reader: CheckpointReader,
    folder: Path,
    on_progress: Callable[[float], None] = lambda _: None,
) -> None:
    """Expand `plan` by `operator` into an empty folder: shards, config.json and, where there are several, the index."""
    expand(plan, operator, reader, lambda index, size: FileSink(folder / shard_name(plan, index), size), on_progress)
    write_json(folder / "config.json", plan.target.raw)
    if len(plan.shards) > 1:
        weight_map = {t.name: shard_name(plan, index) for index, shard in enumerate(plan.shards) for t in shard}
        write_json(folder / INDEX_FILE, {"metadata": {"total_size": plan.target_bytes}, "weight_map": weight_map})


def write_json(path: Path, value: Mapping[str, Any]) -> None:
    path.write_text(json.dumps(value, indent=2, sort_keys=True, ensure_ascii=False) + "\n", encoding="utf-8")
