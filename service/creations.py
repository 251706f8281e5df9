"""Records of new jobs: all that wait are made with one message to Redis, and share one sync of its disk."""

import queue
import threading
from collections import deque
from collections.abc import Sequence

from jobs.creation import Creation
from jobs.store import JobStore
from jobs.tuning import AnyJob
from service.answers import Answer, give_all

MOST_TOGETHER = 64

Made = tuple[AnyJob, bool]
"""A job, and whether it was there before: as `JobStore.create` has it."""
_Waiting = tuple[Creation, Answer[Made]]


class Creations:
    """A thread, until it is stopped; all others may call."""

    def __init__(self, store: JobStore) -> None:
        self._store = store
        self._waiting: deque[_Waiting] = deque()
        self._calls: queue.SimpleQueue[bool] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="create", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Returns once what was added is on record."""
        self._calls.put(False)
        self._thread.join()

    def add(self, creation: Creation, answer: Answer[Made]) -> None:
        """Answers with what `JobStore.create` returns or raises, once `begin` is called."""
        self._waiting.append((creation, answer))

    def begin(self) -> None:
        """Makes all that was added; whoever adds several calls this once, because it wakes another thread."""
        if self._waiting:
            self._calls.put(True)

    def _run(self) -> None:
        goes_on = True
        while goes_on:
            goes_on = self._calls.get()
            while self._waiting:
                batch = [self._waiting.popleft() for _ in range(min(len(self._waiting), MOST_TOGETHER))]
                outcomes = self._created([creation for creation, _ in batch])
                give_all([(answer, outcome) for (_, answer), outcome in zip(batch, outcomes, strict=True)])

    def _created(self, creations: Sequence[Creation]) -> Sequence[Made | Exception]:
        try:
            return self._store.create_all(creations)
        except Exception as error:  # noqa: BLE001 - whoever waits raises it, and a thread that ends would make nothing more
            return [error] * len(creations)
