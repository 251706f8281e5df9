"""The part of a writer that all stores share: exactly `size` bytes, closed once, aborted on any error."""

from abc import ABC, abstractmethod
from types import TracebackType
from typing import Literal, Self

from storage.errors import WrongSize
from storage.store import Buffer, WrittenObject
from storage.uri import Uri


class SizedWriter(ABC):
    """Counts bytes and guards the order of calls; a store fills in `_take`, `_finish` and `_discard`."""

    def __init__(self, uri: Uri, size: int) -> None:
        assert size >= 0
        self._uri = uri
        self._size = size
        self._written = 0
        self._state: Literal["open", "closed", "aborted"] = "open"

    @abstractmethod
    def _take(self, view: memoryview) -> None: ...

    @abstractmethod
    def _finish(self) -> WrittenObject: ...

    @abstractmethod
    def _discard(self) -> None: ...

    def write(self, data: Buffer) -> None:
        self._require_open()
        with memoryview(data) as whole:
            if not whole.nbytes:
                return
            try:
                if self._written + whole.nbytes > self._size:
                    raise WrongSize(f"More than the {self._size} bytes that {self._uri} was opened for were written.")
                with whole.cast("B") as view:
                    self._take(view)
            except BaseException:
                self.abort()
                raise
            self._written += whole.nbytes

    def close(self) -> WrittenObject:
        self._require_open()
        try:
            if self._written != self._size:
                raise WrongSize(f"Only {self._written} of the {self._size} bytes of {self._uri} were written.")
            written = self._finish()
        except BaseException:
            self.abort()
            raise
        self._state = "closed"
        return written

    def abort(self) -> None:
        if self._state == "open":
            self._state = "aborted"
            self._discard()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        left_open = self._state == "open"
        self.abort()
        if left_open and error is None:
            raise RuntimeError(f"The writer of {self._uri} was left open, so nothing was written: call close().")

    def _require_open(self) -> None:
        if self._state != "open":
            raise RuntimeError(f"The writer of {self._uri} is {self._state}: open another one.")
