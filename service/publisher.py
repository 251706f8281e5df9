"""Messages for new jobs, sent while their clients have their answers already; the outbox has what is not sent here.

A message costs as much work as taking the request. So where many jobs come at once, most of them wait in the outbox
for a reconciler, and neither takes more than a share of the time: a job runs for minutes, its message can wait seconds.
"""

import queue
import threading
import time

import structlog
from celery import Celery

from jobs.errors import StoreUnavailable
from jobs.queue import enqueue
from jobs.reconcile import REST
from jobs.store import JobStore

MOST_WAITING = 32

log = structlog.get_logger(__name__)


class Publisher:
    """A thread; `publish` may be called from any other."""

    def __init__(self, store: JobStore, celery: Celery) -> None:
        self._store = store
        self._celery = celery
        self._new: queue.Queue[str | None] = queue.Queue(MOST_WAITING)
        self._leaving = threading.Event()
        self._thread = threading.Thread(target=self._run, name="publisher", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Returns once what it was given is published."""
        self._leaving.set()
        self._new.put(None)
        self._thread.join()

    def publish(self, job_id: str) -> None:
        """Soon; where too many wait already, the reconciler does it."""
        try:
            self._new.put_nowait(job_id)
        except queue.Full:
            return

    def _run(self) -> None:
        while (job_id := self._new.get()) is not None:
            began = time.monotonic()
            try:
                enqueue(self._celery, self._store, job_id)
            except StoreUnavailable as error:
                log.warning("job not published yet", job_id=job_id, reason=str(error))
            except Exception:
                # A thread that ends here would leave every later job to the reconciler.
                log.exception("job not published yet", job_id=job_id)
            if not self._new.empty():
                self._leaving.wait(REST * (time.monotonic() - began))
