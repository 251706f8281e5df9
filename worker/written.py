"""The tensors of shards that were just written, read back from the store before there is an index."""

from dataclasses import dataclass

from growth.checkpoint import CheckpointReader
from growth.header import TensorInfo, read_header
from storage import WrittenObject
from storage.folder import Folder


@dataclass(frozen=True)
class _Shard:
    folder: Folder
    name: str
    size: int

    def read(self, start: int, length: int) -> bytes:
        return self.folder.read(self.name, start, length)


def written_reader(folder: Folder, shards: list[WrittenObject]) -> CheckpointReader:
    """A reader of all tensors in `shards`, which lie in `folder`."""
    tensors: dict[str, TensorInfo] = {}
    for written in shards:
        name = written.uri.name
        tensors |= read_header(name, _Shard(folder, name, written.size))
    return CheckpointReader(folder, tensors)
