"""The files of a corpus: one object, or those under a prefix, each read by ranges as the version that was listed."""

import io
from collections.abc import Sequence
from hashlib import blake2b

from growth.errors import InvalidData
from storage import NotFound, ObjectInfo, ObjectStore, Uri

READ_BYTES = 1 << 20
MAX_WHOLE_BYTES = 64 << 20


class DataFile:
    """One file of a corpus."""

    def __init__(self, store: ObjectStore, info: ObjectInfo) -> None:
        self._store, self.info = store, info

    @property
    def name(self) -> str:
        """Its whole URI, which is what messages call it by."""
        return str(self.info.uri)

    @property
    def size(self) -> int:
        return self.info.size

    def read(self, start: int, length: int) -> bytes:
        """The bytes from `start`, fewer where the file ends. Raises Changed where it is another version by now."""
        return self._store.read(self.info.uri, start, length, etag=self.info.etag)

    def read_whole(self) -> bytes:
        """All of the file, for one that is small. Raises InvalidData where it is not."""
        if self.size > MAX_WHOLE_BYTES:
            raise InvalidData(f"{self.name} has {self.size} bytes; at most {MAX_WHOLE_BYTES} of a picture are read.")
        return self.read(0, self.size)


def list_files(store: ObjectStore, uri: Uri, endings: Sequence[str] = ()) -> list[DataFile]:
    """The object at `uri`, or all under it that end so, in the order of their names, without the empty ones.

    Raises InvalidData where there is none.
    """
    infos = _listed(store, uri, endings)
    if not infos:
        ending = f" that ends in {' or '.join(endings)}" if endings else ""
        raise InvalidData(f"There is no data{ending} at {uri}; give a file, or a prefix with files under it.")
    # Stores keep empty objects for folders.
    files = [DataFile(store, info) for info in infos if info.size]
    if not files:
        raise InvalidData(f"The data at {uri} is empty; give files with something in them.")
    return files


def _listed(store: ObjectStore, uri: Uri, endings: Sequence[str]) -> list[ObjectInfo]:
    try:
        return [store.head(uri)]
    except NotFound:
        return [info for info in store.list(uri) if not endings or info.uri.name.lower().endswith(tuple(endings))]


def fingerprint(files: Sequence[DataFile]) -> str:
    """A short text that is another one as soon as a file is added, removed or changed."""
    digest = blake2b(digest_size=16)
    for file in files:
        digest.update(f"{file.name}\n{file.size}\n{file.info.etag}\n".encode())
    return digest.hexdigest()


class Window:
    """A file read forwards through a buffer: what lies at `position` is at `buffer[0]`."""

    def __init__(self, file: DataFile, position: int) -> None:
        self._file, self.position = file, position
        self.buffer = bytearray()

    def fill(self, length: int) -> bool:
        """Make the buffer at least `length` long; False where the file ends before."""
        while len(self.buffer) < length:
            at = self.position + len(self.buffer)
            # Never past the end, which a store would be asked about in vain.
            wanted = min(max(READ_BYTES, length - len(self.buffer)), self._file.size - at)
            if wanted <= 0:
                return False
            self.buffer += self._file.read(at, wanted)
        return True

    def take(self, length: int) -> bytes:
        """The first `length` bytes of the buffer, which go out of it."""
        taken = bytes(memoryview(self.buffer)[:length])
        del self.buffer[:length]
        self.position += length
        return taken


class SeekableFile(io.RawIOBase):
    """A file of a corpus as Python's own kind of file, for libraries that seek."""

    def __init__(self, file: DataFile) -> None:
        self._file, self._position = file, 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._file.size}[whence]
        self._position = base + offset
        return self._position

    def tell(self) -> int:
        return self._position

    def read(self, size: int = -1) -> bytes:
        left = max(0, self._file.size - self._position)
        found = self._file.read(self._position, left if size < 0 else min(size, left))
        self._position += len(found)
        return found
