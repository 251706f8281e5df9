"""`file://`: objects are plain files, folders are nothing but parts of keys.

Symbolic links: folders on the way may be links, since a root such as `/data -> /mnt/data` is the operator's own doing;
`canonical` tells where such a path really lies, for whoever has to compare it with an allowed prefix. An object itself
is never a link: reading and writing refuse one, `list` passes over links to files and to folders. A folder, a device or
a pipe is no object. Empty folders are left behind by `delete` and by aborted writers.
"""

import errno
import os
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import TypeVar

from storage.errors import Changed, InvalidUri, NotFound
from storage.file_errors import file_errors
from storage.local_writer import LocalWriter
from storage.store import ObjectInfo, any_name
from storage.temporary_file import TemporaryFile, etag_of, final_name
from storage.uri import Uri

Read = TypeVar("Read")


class LocalStore:
    """An `ObjectStore` over the file system of this machine."""

    def canonical(self, uri: Uri) -> Uri:
        """The same place with every symbolic link on the way resolved; it need not exist."""
        with file_errors(uri):
            return _uri(os.path.realpath(f"/{uri.key}"))

    def head(self, uri: Uri) -> ObjectInfo:
        with file_errors(uri):
            return _info(uri, _require_file(_path(uri).lstat()))

    def exists(self, uri: Uri) -> bool:
        try:
            self.head(uri)
        except NotFound:
            return False
        return True

    def list(self, prefix: Uri, *, deep: bool = True) -> Iterator[ObjectInfo]:
        for entry in _files(prefix, deep=deep):
            # A file may vanish between its folder's listing and this look at it.
            with suppress(FileNotFoundError):
                if final_name(entry.name) is None:
                    yield _info(_uri(entry.path), entry.stat(follow_symlinks=False))

    def read(self, uri: Uri, start: int = 0, length: int | None = None, *, etag: str | None = None) -> bytes:
        assert start >= 0
        assert length is None or length >= 0

        def wanted(descriptor: int) -> bytes:
            left = max(0, os.fstat(descriptor).st_size - start)
            return _read(descriptor, start, left if length is None else min(length, left))

        return _unchanged(uri, etag, wanted)

    def read_into(self, uri: Uri, buffer: memoryview, start: int = 0, *, etag: str | None = None) -> int:
        assert start >= 0
        return _unchanged(uri, etag, lambda descriptor: _fill(descriptor, start, buffer))

    def put(self, uri: Uri, data: bytes, *, if_absent: bool = False) -> ObjectInfo:
        with file_errors(uri):
            file = TemporaryFile(_path(uri), len(data))
            try:
                file.write(memoryview(data))
                return _info(uri, file.commit(if_absent=if_absent))
            finally:
                file.discard()

    def open_write(self, uri: Uri, size: int) -> LocalWriter:
        with file_errors(uri):
            return LocalWriter(uri, size, TemporaryFile(_path(uri), size))

    def delete(self, uri: Uri) -> None:
        with file_errors(uri), suppress(FileNotFoundError, NotADirectoryError, IsADirectoryError):
            _path(uri).unlink()

    def abort_uploads(self, prefix: Uri, named: Callable[[str], bool] = any_name) -> int:
        unfinished = [(entry.path, final_name(entry.name)) for entry in _files(prefix)]
        left_behind = [path for path, name in unfinished if name is not None and named(name)]
        with file_errors(prefix):
            for path in left_behind:
                Path(path).unlink(missing_ok=True)
        return len(left_behind)


def _path(uri: Uri) -> Path:
    if not uri.key:
        raise InvalidUri(f"{uri} names the root of the file system, not an object: add a path.")
    return Path(f"/{uri.key}")


def _uri(path: str) -> Uri:
    return Uri("file", "", path.removeprefix("/"))


def _files(prefix: Uri, *, deep: bool = True) -> Iterator[os.DirEntry[str]]:
    with file_errors(prefix):
        yield from _walk(f"/{prefix.key}", deep=deep)


def _walk(folder: str, *, deep: bool) -> Iterator[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as entries:
            found = sorted(entries, key=_order)
    except (FileNotFoundError, NotADirectoryError):
        return
    for entry in found:
        if entry.is_dir(follow_symlinks=False):
            if deep:
                yield from _walk(entry.path, deep=True)
        elif entry.is_file(follow_symlinks=False):
            yield entry


def _order(entry: os.DirEntry[str]) -> bytes:
    # As the keys below it are ordered: `a-b` comes before `a/x`.
    return os.fsencode(entry.name + "/" if entry.is_dir(follow_symlinks=False) else entry.name)


@contextmanager
def _opened(path: Path) -> Iterator[int]:
    # Without O_NONBLOCK, opening a pipe would wait for its writer.
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _require_file(found: os.stat_result) -> os.stat_result:
    if stat.S_ISLNK(found.st_mode):
        raise OSError(errno.ELOOP, os.strerror(errno.ELOOP))
    if not stat.S_ISREG(found.st_mode):
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT))
    return found


def _unchanged(uri: Uri, etag: str | None, read: Callable[[int], Read]) -> Read:
    """What `read` gives of the open file; raises Changed where it is another version than `etag`."""
    with file_errors(uri), _opened(_path(uri)) as descriptor:
        _require_file(os.fstat(descriptor))
        found = read(descriptor)
        # Looked at after the read, so that a change during it is seen too.
        etag_found = etag_of(os.fstat(descriptor))
    if etag not in (None, etag_found):
        raise Changed(f"{uri} has changed since it was first looked at: start again from the new version.")
    return found


def _fill(descriptor: int, start: int, buffer: memoryview) -> int:
    filled = 0
    while filled < len(buffer) and (count := os.preadv(descriptor, [buffer[filled:]], start + filled)):
        filled += count
    return filled


def _read(descriptor: int, start: int, length: int) -> bytes:
    pieces = []
    # One call reads at most 2 GiB.
    while length and (piece := os.pread(descriptor, length, start)):
        pieces.append(piece)
        start += len(piece)
        length -= len(piece)
    return b"".join(pieces) if len(pieces) != 1 else pieces[0]


def _info(uri: Uri, found: os.stat_result) -> ObjectInfo:
    return ObjectInfo(uri, found.st_size, etag_of(found), datetime.fromtimestamp(found.st_mtime, UTC))
