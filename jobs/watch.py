"""Waits for jobs to change: one subscription of Redis for a whole process, however many wait.

A message only wakes; what changed is read from the record then. So a lost message costs a wait of at most
`RECHECK_SECONDS`, and nothing else.
"""

import asyncio
import contextlib
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Iterator
from types import TracebackType
from typing import Self

import redis.asyncio
from redis.exceptions import RedisError

from jobs.schema import Event
from jobs.scripts import ANSWER_SECONDS, CONNECT_SECONDS
from jobs.store import JobStore
from jobs.tuning import AnyJob

RECHECK_SECONDS = 20.0
RECONNECT_SECONDS = 1.0


class Watcher:
    """For one event loop: `async with Watcher(store, url) as watcher`."""

    def __init__(self, store: JobStore, redis_url: str) -> None:
        self._store = store
        self._client = redis.asyncio.Redis.from_url(
            redis_url,
            decode_responses=True,
            socket_connect_timeout=CONNECT_SECONDS,
            socket_timeout=ANSWER_SECONDS,
            socket_keepalive=True,
            health_check_interval=RECHECK_SECONDS,
        )
        self._waiting: defaultdict[str, set[asyncio.Event]] = defaultdict(set)
        self._awaited = asyncio.Event()
        self._listener: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        self._listener = asyncio.create_task(self._listen())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._listener is not None
        # Again and again: redis-py forgets a cancellation that comes just as a command has been sent (asyncio.wait_for
        # on Python 3.11).
        while not self._listener.done():
            self._listener.cancel()
            await asyncio.wait([self._listener], timeout=0.1)
        await self._client.aclose()

    @property
    def watched(self) -> int:
        """How many jobs somebody waits for now."""
        return len(self._waiting)

    async def wait_for(self, job_id: str, reached: Callable[[AnyJob], bool], timeout_seconds: float) -> AnyJob:
        """The job once `reached` holds for it, or as it is when time is up. Raises JobNotFound, StoreUnavailable."""
        deadline = time.monotonic() + timeout_seconds
        with self._changes(job_id) as changed:
            while True:
                job = await asyncio.to_thread(self._store.get, job_id)
                left = deadline - time.monotonic()
                if reached(job) or left <= 0:
                    return job
                await _next(changed, left)

    async def events(self, job_id: str, after: str | None = None) -> AsyncIterator[Event]:
        """Every event after `after`, as it happens, until the job has ended. Raises like `JobStore.events`."""
        with self._changes(job_id) as changed:
            while True:
                page, ended = await asyncio.to_thread(self._store.events_and_end, job_id, after)
                for event in page.events:
                    yield event
                    after = event.id
                if page.next_cursor is None:
                    if ended:
                        return
                    await _next(changed, RECHECK_SECONDS)

    @contextlib.contextmanager
    def _changes(self, job_id: str) -> Iterator[asyncio.Event]:
        changed = asyncio.Event()
        self._waiting[job_id].add(changed)
        self._awaited.set()
        try:
            yield changed
        finally:
            self._waiting[job_id].discard(changed)
            if not self._waiting[job_id]:
                del self._waiting[job_id]

    async def _listen(self) -> None:
        while True:
            # Most jobs change while nobody waits, and each message would cost this process as much as a request.
            await self._awaited.wait()
            try:
                await self._subscribe()
            except (RedisError, OSError):
                await asyncio.sleep(RECONNECT_SECONDS)

    async def _subscribe(self) -> None:
        """Until nobody waits."""
        async with self._client.pubsub(ignore_subscribe_messages=True) as subscription:
            await subscription.subscribe(self._store.keys.changes)
            # What changed before this moment went by unheard.
            for job_id in self._waiting:
                self._wake(job_id)
            while self._waiting:
                message = await subscription.get_message(timeout=RECHECK_SECONDS)
                if message is not None:
                    self._wake(message["data"])
            self._awaited.clear()

    def _wake(self, job_id: str) -> None:
        for changed in self._waiting.get(job_id, ()):
            changed.set()


async def _next(changed: asyncio.Event, timeout_seconds: float) -> None:
    # Not asyncio.wait_for: on Python 3.11 it forgets a cancellation that comes together with the event.
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(min(timeout_seconds, RECHECK_SECONDS)):
            await changed.wait()
    changed.clear()
