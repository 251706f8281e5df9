"""One `ObjectStore` for every URI: it hands each call to the store of the URI's scheme."""

from collections.abc import Callable, Iterator
from contextlib import suppress
from threading import Lock
from typing import TYPE_CHECKING

from storage.errors import StorageError
from storage.local import LocalStore
from storage.settings import StorageSettings
from storage.store import ObjectInfo, ObjectStore, ObjectWriter, any_name
from storage.traffic import CountedWriter, Traffic
from storage.uri import Uri

if TYPE_CHECKING:
    from storage.s3 import S3Store


class Storage:
    """Dispatches by scheme; may be shared by threads, and builds the S3 client when an `s3://` URI first needs it."""

    def __init__(self, settings: StorageSettings | None = None) -> None:
        self._settings = settings or StorageSettings()
        self._local = LocalStore()
        self._s3: S3Store | None = None
        self._building = Lock()
        self.traffic = Traffic()

    def prepare(self) -> None:
        """Does what the first `s3://` URI would wait for: an import and a client, a quarter of a second together.

        Where no client can be made, the first use says why.
        """
        with suppress(StorageError):
            self._open_s3()

    def canonical(self, uri: Uri) -> Uri:
        """Where the bytes of `uri` really lie: for files, with symbolic links resolved. Compare these with prefixes."""
        return self._local.canonical(uri) if uri.scheme == "file" else uri

    def head(self, uri: Uri) -> ObjectInfo:
        return self._of(uri).head(uri)

    def exists(self, uri: Uri) -> bool:
        return self._of(uri).exists(uri)

    def list(self, prefix: Uri, *, deep: bool = True) -> Iterator[ObjectInfo]:
        return self._of(prefix).list(prefix, deep=deep)

    def read(self, uri: Uri, start: int = 0, length: int | None = None, *, etag: str | None = None) -> bytes:
        data = self._of(uri).read(uri, start, length, etag=etag)
        self.traffic.read(len(data))
        return data

    def read_into(self, uri: Uri, buffer: memoryview, start: int = 0, *, etag: str | None = None) -> int:
        count = self._of(uri).read_into(uri, buffer, start, etag=etag)
        self.traffic.read(count)
        return count

    def put(self, uri: Uri, data: bytes, *, if_absent: bool = False) -> ObjectInfo:
        info = self._of(uri).put(uri, data, if_absent=if_absent)
        self.traffic.written(len(data))
        return info

    def open_write(self, uri: Uri, size: int) -> ObjectWriter:
        return CountedWriter(self._of(uri).open_write(uri, size), self.traffic)

    def delete(self, uri: Uri) -> None:
        self._of(uri).delete(uri)

    def abort_uploads(self, prefix: Uri, named: Callable[[str], bool] = any_name) -> int:
        return self._of(prefix).abort_uploads(prefix, named)

    def _of(self, uri: Uri) -> ObjectStore:
        return self._local if uri.scheme == "file" else self._open_s3()

    def _open_s3(self) -> "S3Store":
        with self._building:
            if self._s3 is None:
                # boto3 takes a quarter of a second to import, which work on files alone need not wait for.
                from storage.s3 import S3Store

                self._s3 = S3Store(self._settings.s3)
            return self._s3
