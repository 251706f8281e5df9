"""Waiting for jobs: a thousand at once on one subscription, woken by a change, through an outage of Redis."""

import asyncio
import os
import signal
import time
from pathlib import Path

import pytest
import redis

from jobs import watch
from jobs.errors import JobNotFound
from jobs.schema import Event, EventKind, JobState, Stage
from jobs.settings import SharedSettings
from jobs.store import JobStore
from jobs.watch import Watcher
from tests.jobs.samples import FAILURE, RESULT, running, submit
from tests.servers import valkey_server

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


def _ended(job: JobState) -> bool:
    return job.status.terminal


async def _collect(watcher: Watcher, job_id: str, after: str | None = None) -> list[Event]:
    return [event async for event in watcher.events(job_id, after)]


def _subscribers(store: JobStore, settings: SharedSettings) -> int:
    with redis.Redis.from_url(settings.redis_url, decode_responses=True) as client:
        [(_, subscribers)] = client.pubsub_numsub(store.keys.changes)
    return int(subscribers)


async def _subscribed(store: JobStore, settings: SharedSettings) -> None:
    while _subscribers(store, settings) == 0:
        await asyncio.sleep(0.01)


async def test_a_change_ends_the_wait_at_once(store: JobStore, settings: SharedSettings) -> None:
    job = submit(store)
    async with Watcher(store, settings.redis_url) as watcher:
        waiting = asyncio.create_task(watcher.wait_for(job.id, lambda seen: seen.version > job.version, 30))
        await _subscribed(store, settings)
        await asyncio.sleep(0.2)
        started = time.monotonic()
        store.claim(job.id, "worker-1")
        assert (await waiting).attempt == 1
        assert time.monotonic() - started < 2


async def test_what_was_reached_before_is_not_waited_for(store: JobStore, settings: SharedSettings) -> None:
    job = store.request_cancel(submit(store).id)
    async with Watcher(store, settings.redis_url) as watcher:
        assert await watcher.wait_for(job.id, _ended, 30) == job


async def test_a_wait_ends_with_its_time(store: JobStore, settings: SharedSettings) -> None:
    job = submit(store)
    async with Watcher(store, settings.redis_url) as watcher:
        started = time.monotonic()
        assert await watcher.wait_for(job.id, _ended, 0.3) == job
        assert 0.3 <= time.monotonic() - started < 3


async def test_an_unknown_job_is_not_waited_for(store: JobStore, settings: SharedSettings) -> None:
    async with Watcher(store, settings.redis_url) as watcher:
        with pytest.raises(JobNotFound):
            await watcher.wait_for("job-none", _ended, 30)
        with pytest.raises(JobNotFound):
            await _collect(watcher, "job-none")


async def test_events_arrive_as_they_happen_and_end_with_the_job(store: JobStore, settings: SharedSettings) -> None:
    job = running(store)
    async with Watcher(store, settings.redis_url) as watcher:
        arriving = watcher.events(job.id)
        for _ in range(2):
            await anext(arriving)
        await _subscribed(store, settings)
        for step in range(5):
            store.append_event(job.id, 1, EventKind.FIT, {"step": step})
            assert (await asyncio.wait_for(anext(arriving), 60)).data == {"step": step}
        store.finish(job.id, 1, FAILURE)
        assert (await anext(arriving)).data["status"] == "failed"
        with pytest.raises(StopAsyncIteration):
            await anext(arriving)


async def test_events_go_on_after_any_of_them(store: JobStore, settings: SharedSettings) -> None:
    job = running(store)
    store.update(job.id, 1, stage=Stage.EXPANDING)
    store.finish(job.id, 1, RESULT)
    events = store.events(job.id).events
    async with Watcher(store, settings.redis_url) as watcher:
        assert await _collect(watcher, job.id) == events
        for position, event in enumerate(events):
            assert await _collect(watcher, job.id, event.id) == events[position + 1 :]


async def test_a_thousand_readers_share_one_subscription(store: JobStore, settings: SharedSettings) -> None:
    jobs = [running(store) for _ in range(10)]
    async with Watcher(store, settings.redis_url) as watcher:
        readers = [asyncio.create_task(_collect(watcher, job.id)) for job in jobs for _ in range(100)]
        await _subscribed(store, settings)
        await asyncio.sleep(0.5)
        for step in range(3):
            for job in jobs:
                await asyncio.to_thread(store.append_event, job.id, 1, EventKind.FIT, {"step": step})
        for job in jobs:
            await asyncio.to_thread(store.finish, job.id, 1, RESULT)
        read = await asyncio.gather(*readers)
        assert _subscribers(store, settings) == 1
    for position, job in enumerate(jobs):
        expected = store.events(job.id).events
        assert len(expected) == 6
        assert all(events == expected for events in read[position * 100 : position * 100 + 100])


async def test_while_nobody_waits_there_is_no_subscription(store: JobStore, settings: SharedSettings) -> None:
    job = submit(store)
    async with Watcher(store, settings.redis_url) as watcher:
        for _ in range(2):
            assert _subscribers(store, settings) == 0
            waiting = asyncio.create_task(watcher.wait_for(job.id, _ended, 60))
            await _subscribed(store, settings)
            waiting.cancel()
            await asyncio.wait([waiting])
            # The next change, of whatever job, finds nobody there.
            submit(store)
            async with asyncio.timeout(10):
                while _subscribers(store, settings):
                    await asyncio.sleep(0.01)


async def test_waits_survive_an_outage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watch, "RECHECK_SECONDS", 60.0)
    with valkey_server(tmp_path) as server:
        settings = SharedSettings(redis_url=server.url)
        store = JobStore(settings)
        job = submit(store)
        async with Watcher(store, settings.redis_url) as watcher:
            waiting = asyncio.create_task(watcher.wait_for(job.id, _ended, 60))
            await _subscribed(store, settings)
            await asyncio.sleep(0.2)
            os.kill(server.pid, signal.SIGKILL)
            with valkey_server(tmp_path, port=server.port):
                store.request_cancel(job.id)
                assert _ended(await asyncio.wait_for(waiting, 20))
        store.close()


async def test_nothing_is_kept_of_those_who_left(store: JobStore, settings: SharedSettings) -> None:
    job = submit(store)
    async with Watcher(store, settings.redis_url) as watcher:
        waiting = asyncio.create_task(watcher.wait_for(job.id, _ended, 30))
        await asyncio.sleep(0.1)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        assert watcher.watched == 0


async def test_a_watcher_can_be_left_at_any_moment(store: JobStore, settings: SharedSettings) -> None:
    job = submit(store)
    for delay_milliseconds in range(20):
        async with Watcher(store, settings.redis_url) as watcher:
            waiting = asyncio.create_task(watcher.wait_for(job.id, _ended, 30))
            await asyncio.sleep(delay_milliseconds / 1000)
            waiting.cancel()
            with pytest.raises(asyncio.CancelledError):
                await waiting


async def test_a_wait_that_is_woken_and_cancelled_at_once_is_cancelled() -> None:
    changed = asyncio.Event()
    waiting = asyncio.create_task(watch._next(changed, 30))
    await asyncio.sleep(0.01)
    changed.set()
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
