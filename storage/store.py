"""What every store can do: ranged reads of a known version, whole objects or nothing, conditional puts."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from types import TracebackType
from typing import Protocol, Self

from storage.uri import Uri

Buffer = bytes | bytearray | memoryview


def any_name(_: str) -> bool:
    """Picks every object."""
    return True


@dataclass(frozen=True)
class ObjectInfo:
    """An object as the store shows it; `etag` is opaque and moves whenever the bytes do."""

    uri: Uri
    size: int
    etag: str
    modified_at: datetime


@dataclass(frozen=True)
class WrittenObject:
    """What a writer left behind; `sha256` is ours, in hex, computed from the bytes as they were given."""

    uri: Uri
    size: int
    sha256: str


class ObjectWriter(Protocol):
    """Writes one object in bounded memory; it becomes visible, whole, when `close` returns.

    As a context manager it aborts when an exception leaves the block. It never closes by itself, so that an output is
    not finalised by accident: leaving the block unclosed aborts too, and raises RuntimeError.
    """

    def write(self, data: Buffer) -> None:
        """Takes the next bytes of any C-contiguous buffer, which may be reused at once; raises WrongSize past the end.

        An upload that failed in the background raises here or in `close`; the writer has then aborted itself.
        """

    def close(self) -> WrittenObject:
        """Makes the object visible; raises WrongSize if bytes are missing. After Unavailable it may yet appear."""

    def abort(self) -> None:
        """Leaves nothing visible; does nothing after `close` or another `abort`."""

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...


class ObjectStore(Protocol):
    """Bytes under keys. Every method may raise AccessDenied, Unavailable and InvalidUri (the URI names no object)."""

    def head(self, uri: Uri) -> ObjectInfo:
        """Size, etag and time of an object; raises NotFound."""

    def exists(self, uri: Uri) -> bool:
        """Whether there is an object of exactly this key; folders and prefixes are none."""

    def list(self, prefix: Uri, *, deep: bool = True) -> Iterator[ObjectInfo]:
        """The objects under `prefix` at any depth, or directly there where not `deep`; none if it is missing.

        Sorted by the UTF-8 bytes of their keys. Raises InvalidUri at a key that no `Uri` can name, because leaving it
        out would be silent.
        """

    def read(self, uri: Uri, start: int = 0, length: int | None = None, *, etag: str | None = None) -> bytes:
        """The bytes from `start`, `length` of them or all; fewer where the object ends. Raises NotFound, Changed."""

    def read_into(self, uri: Uri, buffer: memoryview, start: int = 0, *, etag: str | None = None) -> int:
        """Fills `buffer` with the bytes from `start`, and tells how many there were. Raises as `read`."""

    def put(self, uri: Uri, data: bytes, *, if_absent: bool = False) -> ObjectInfo:
        """Writes a small object whole; with `if_absent` raises AlreadyExists if one is there."""

    def open_write(self, uri: Uri, size: int) -> ObjectWriter:
        """A writer of exactly `size` bytes; replaces what is there. Raises NoSpace where the store can tell."""

    def delete(self, uri: Uri) -> None:
        """Removes an object; does nothing if there is none."""

    def abort_uploads(self, prefix: Uri, named: Callable[[str], bool] = any_name) -> int:
        """Clears away what writers that died left under `prefix`, and counts it; writers at work there fail.

        `named` picks by the last segment of the object's key.
        """
