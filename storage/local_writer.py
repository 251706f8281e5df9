"""Writes one file as it is produced, straight from the caller's buffer; it is hashed and synced meanwhile."""

from storage.file_errors import file_errors
from storage.side_hash import SideHash
from storage.side_sync import SideSync
from storage.sized_writer import SizedWriter
from storage.store import WrittenObject
from storage.temporary_file import TemporaryFile
from storage.uri import Uri


class LocalWriter(SizedWriter):
    """See `ObjectWriter`; folders that were made for the file stay when it is aborted."""

    def __init__(self, uri: Uri, size: int, file: TemporaryFile) -> None:
        super().__init__(uri, size)
        self._file = file
        self._hash = SideHash()
        self._syncing = SideSync(file)

    def _take(self, view: memoryview) -> None:
        hashed = self._hash.update(view)
        try:
            with file_errors(self._uri):
                self._file.write(view)
                self._syncing.wrote(view.nbytes)
        finally:
            hashed.result()

    def _finish(self) -> WrittenObject:
        with file_errors(self._uri):
            self._syncing.finish()
            self._file.commit()
        return WrittenObject(self._uri, self._size, self._hash.hexdigest())

    def _discard(self) -> None:
        self._hash.stop()
        self._syncing.stop()
        with file_errors(self._uri):
            self._file.discard()
