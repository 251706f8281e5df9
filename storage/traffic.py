"""How many bytes went to and from stores, counted where every read and write passes."""

import threading
from types import TracebackType
from typing import Self

from storage.store import Buffer, ObjectWriter, WrittenObject


class Traffic:
    """Totals since the start of the process; any thread may add."""

    def __init__(self) -> None:
        self._adding = threading.Lock()
        self.bytes_read = 0
        self.bytes_written = 0

    def read(self, count: int) -> None:
        with self._adding:
            self.bytes_read += count

    def written(self, count: int) -> None:
        with self._adding:
            self.bytes_written += count


class CountedWriter:
    """An `ObjectWriter` that counts what it takes."""

    def __init__(self, writer: ObjectWriter, traffic: Traffic) -> None:
        self._writer = writer
        self._traffic = traffic

    def write(self, data: Buffer) -> None:
        self._writer.write(data)
        self._traffic.written(memoryview(data).nbytes)

    def close(self) -> WrittenObject:
        return self._writer.close()

    def abort(self) -> None:
        self._writer.abort()

    def __enter__(self) -> Self:
        self._writer.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._writer.__exit__(kind, error, trace)
