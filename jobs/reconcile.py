"""Makes up for whatever got lost between record, broker and worker, step by step, each safe to repeat.

Any number of processes may run this at once: steps that change a record are fenced scripts, and a job that two of them
publish is claimed once.
"""

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Self

from celery import Celery

from jobs.errors import StoreUnavailable
from jobs.queue import enqueue, waiting_messages
from jobs.settings import SharedSettings
from jobs.store import JobStore

INTERVAL_SECONDS = 2.0
SILENT_SECONDS = 60.0
"""A message may be on its way from the broker to a claim for this long before it can count as lost."""
BATCH = 5
"""Few, because requests to the same process are slower while it publishes."""
REST = 9.0
"""Whoever publishes many messages rests so many times as long as that took, for the requests of the same process."""
MOST_PUBLISHED = 1000
"""In one pass, so that leases are looked at in between."""

Rest = Callable[[float], object]

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Counts:
    """What one pass did, in jobs."""

    reclaimed: int
    """Taken from workers that went silent."""
    republished: int
    """Put back into the outbox, because their message was lost."""
    published: int
    forgotten: int
    """Deleted, after their retention."""


def reconcile_once(
    store: JobStore, celery: Celery, silent_seconds: float = SILENT_SECONDS, rest: Rest = time.sleep
) -> Counts:
    """One pass over all that is due, or until `rest`, which is given seconds, says True. Raises StoreUnavailable."""
    reclaimed = sum(map(store.reclaim, store.expired_leases()))
    republished = _republish_lost(store, celery, silent_seconds)
    return Counts(reclaimed, republished, _publish_due(store, celery, rest), store.forget_ended())


def _publish_due(store: JobStore, celery: Celery, rest: Rest) -> int:
    published = 0
    while published < MOST_PUBLISHED and (due := store.take_due(BATCH)):
        began = time.monotonic()
        for job_id in due:
            enqueue(celery, store, job_id)
        published += len(due)
        if len(due) == BATCH and rest(REST * (time.monotonic() - began)):
            break
    return published


def _republish_lost(store: JobStore, celery: Celery, silent_seconds: float) -> int:
    """Only as many as there are messages too few: jobs that merely wait long never pile up messages."""
    missing = store.published_jobs() - waiting_messages(celery)
    return len(store.republish(missing, silent_seconds)) if missing > 0 else 0


class Reconciler:
    """A thread that reconciles every so often, until it is stopped; an outage of Redis only delays it."""

    def __init__(
        self,
        store: JobStore,
        celery: Celery,
        interval_seconds: float = INTERVAL_SECONDS,
        silent_seconds: float = SILENT_SECONDS,
    ) -> None:
        self._store = store
        self._celery = celery
        self._interval_seconds = interval_seconds
        self._silent_seconds = silent_seconds
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="reconciler", daemon=True)

    @classmethod
    def by(cls, settings: SharedSettings, store: JobStore, celery: Celery) -> Self:
        """One that looks several times a lease, and waits as long for a message as for a silent worker."""
        lease_seconds = settings.lease_seconds
        return cls(store, celery, min(INTERVAL_SECONDS, lease_seconds / 6), lease_seconds)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Returns once the present pass is over."""
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._stop.wait(self._interval_seconds):
            try:
                counts = reconcile_once(self._store, self._celery, self._silent_seconds, self._stop.wait)
            except StoreUnavailable as error:
                log.warning("Could not reconcile: %s", error)
                continue
            except Exception:
                # A thread that ends here would leave every later submission in the outbox.
                log.exception("Could not reconcile; trying again")
                continue
            if counts.reclaimed or counts.republished:
                log.warning("Reclaimed %d jobs, published %d again", counts.reclaimed, counts.republished)
