"""Redis' clock, asked now and then; between two answers this machine's own goes on from the last one."""

import threading
import time
from collections.abc import Callable

ASK_SECONDS = 10.0
"""In which two clocks drift apart by less than a millisecond."""


class Clock:
    """What `ask` answers, in microseconds since 1970, without asking each time; it never goes back."""

    def __init__(self, ask: Callable[[], int]) -> None:
        self._ask = ask
        self._lock = threading.Lock()
        self._offset = 0
        self._asked_at: float | None = None
        self._last = 0

    def now(self) -> int:
        """Within the time that an answer takes. Raises what `ask` raises."""
        if self._asked_at is None or time.monotonic() - self._asked_at > ASK_SECONDS:
            answer = self._ask()
            self._offset, self._asked_at = answer - _own(), time.monotonic()
        with self._lock:
            self._last = max(self._last + 1, _own() + self._offset)
            return self._last


def _own() -> int:
    return time.monotonic_ns() // 1000
