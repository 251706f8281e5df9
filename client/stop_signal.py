"""SIGINT, SIGTERM and SIGHUP as a wish that is looked at: once means stop, twice means at once."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager

HEARD = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class StopSignal:
    def __init__(self) -> None:
        self._times = 0
        self._asked = threading.Event()

    @property
    def asked(self) -> bool:
        return self._times > 0

    def hurry(self) -> bool:
        return self._times > 1

    def sleep(self, seconds: float) -> None:
        """Returns early once a stop is asked for."""
        self._asked.wait(seconds)

    @contextmanager
    def heard(self) -> Iterator[None]:
        """In the main thread alone: signals count from here on, and do what they did before afterwards."""
        before = {number: signal.signal(number, self._hear) for number in HEARD}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def _hear(self, *_: object) -> None:
        self._times += 1
        self._asked.set()
