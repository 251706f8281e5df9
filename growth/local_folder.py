"""Checkpoint folders on this machine's disk: one to read from, and shards of one that is written."""

from pathlib import Path


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
    """A `growth.expand.ShardSink` into a file that is not there yet."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file = path.open("xb")

    def write(self, data: memoryview) -> None:
        self._file.write(data)

    def close(self) -> Path:
        self._file.close()
        return self._path

    def abort(self) -> None:
        self._file.close()
        self._path.unlink()
