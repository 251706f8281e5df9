"""Brings a file to the disk while it is still being written, so that little is left to wait for at its end."""

from concurrent.futures import Future, ThreadPoolExecutor

from storage.settings import MIB
from storage.temporary_file import TemporaryFile

_STEP = 64 * MIB


class SideSync:
    """Raises OSError from a sync that failed, in the next call: the system tells of it only once."""

    def __init__(self, file: TemporaryFile) -> None:
        self._file = file
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="sync")
        self._last: Future[None] | None = None
        self._unsynced = 0

    def wrote(self, nbytes: int) -> None:
        """Counts bytes; begins to bring them to the disk once they are many and the last sync is done."""
        self._unsynced += nbytes
        if self._unsynced < _STEP or not (self._last is None or self._last.done()):
            return
        self._raise_failure()
        self._unsynced = 0
        self._last = self._thread.submit(self._file.sync)

    def finish(self) -> None:
        """Waits for the sync that is under way and ends the thread."""
        self.stop()
        self._raise_failure()

    def stop(self) -> None:
        """Ends the thread, whatever became of its last sync."""
        self._thread.shutdown()

    def _raise_failure(self) -> None:
        if self._last is not None:
            self._last.result()
