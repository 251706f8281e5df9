"""`celery ... worker --exit-when-idle 60`: a worker that leaves by itself once it has had no job for so long.

For machines that are lent as long as there is work: nobody has to tell a busy worker from an idle one to end it. A
message that comes in the very moment goes back to the queue, as from any worker that leaves.
"""

import time
from typing import Any

from celery import Celery, bootsteps
from celery.signals import worker_ready
from celery.worker import state
from click import Option

LOOK_SECONDS = 1.0


class ExitWhenIdle(bootsteps.StartStopStep):  # type: ignore[misc]
    """A step of Celery's main process, which sees every message that comes and every task that ends."""

    requires = frozenset({"celery.worker.components:Timer"})

    def __init__(self, parent: Any, exit_when_idle: float | None = None, **options: Any) -> None:
        super().__init__(parent, **options)
        self._seconds = exit_when_idle
        self._busy_at = time.monotonic()
        self._timer: Any = None
        self._worker: Any = None

    def start(self, parent: Any) -> None:
        if self._seconds is not None:
            self._worker = parent
            # Before that it takes no messages, which can last under load.
            worker_ready.connect(self._begin)

    def stop(self, _parent: Any) -> None:
        if self._timer is not None:
            self._timer.cancel()

    def _begin(self, **_: object) -> None:
        self._busy_at = time.monotonic()
        self._timer = self._worker.timer.call_repeatedly(LOOK_SECONDS, self._look)

    def _look(self) -> None:
        assert self._seconds is not None
        if state.reserved_requests:
            self._busy_at = time.monotonic()
        elif time.monotonic() - self._busy_at >= self._seconds:
            state.should_stop = 0


def install(celery: Celery) -> None:
    """Gives the worker of this app the option."""
    option = Option(["--exit-when-idle"], type=float, metavar="SECONDS", help="Leave after so long without a job.")
    celery.user_options["worker"].add(option)
    celery.steps["worker"].add(ExitWhenIdle)
