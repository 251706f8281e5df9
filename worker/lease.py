"""A job's lease, kept up by a thread of its own, so that no slow store or busy pipe lets it end."""

import threading
import time
from types import TracebackType
from typing import Self

import structlog

from jobs.errors import JobNotFound, LeaseLost, StoreUnavailable
from jobs.schema import Status
from jobs.store import JobStore

WATCH_SECONDS = 1.0
"""How often the record is looked at in between: whether the job is to be cancelled, or has been given away."""

log = structlog.get_logger()


class Lease:
    """Holds attempt `attempt` of a job from `with` to its end; Redis away for a while changes nothing.

    The attempt keeps the job until another one takes it, so that silence alone is no reason to stop.
    """

    def __init__(self, store: JobStore, job_id: str, attempt: int, renew_seconds: float) -> None:
        self._store = store
        self._job_id = job_id
        self._attempt = attempt
        self._renew_seconds = renew_seconds
        self._renew_at = time.monotonic() + renew_seconds
        self._over = threading.Event()
        self._lost = threading.Event()
        self._cancel_requested = threading.Event()
        self._thread = threading.Thread(target=self._keep, name="lease", daemon=True)

    @property
    def lost(self) -> bool:
        """Whether another attempt has the job, or none any more."""
        return self._lost.is_set()

    @property
    def cancel_requested(self) -> bool:
        return self._cancel_requested.is_set()

    def renew(self) -> None:
        """Renews now. Raises LeaseLost, StoreUnavailable."""
        if self._store.renew(self._job_id, self._attempt):
            self._cancel_requested.set()
        self._renew_at = time.monotonic() + self._renew_seconds

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over.set()
        self._thread.join()

    def _keep(self) -> None:
        while not (self._over.wait(min(WATCH_SECONDS, self._renew_seconds)) or self.lost):
            try:
                self._look()
            except (LeaseLost, JobNotFound):
                self._lost.set()
            except StoreUnavailable as error:
                log.warning("The job store does not answer; the work goes on", reason=str(error))

    def _look(self) -> None:
        if time.monotonic() >= self._renew_at:
            self.renew()
            return
        job = self._store.get(self._job_id)
        if job.attempt != self._attempt or job.status is not Status.RUNNING:
            self._lost.set()
        if job.cancel_requested:
            self._cancel_requested.set()
