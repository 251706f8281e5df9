"""Places in the queue, and how long a job that waits there may expect to wait."""

import pytest
import redis

from jobs.schema import Priority
from jobs.settings import SharedSettings
from jobs.store import JobStore
from tests.jobs.samples import FAILURE, RESULT, request, submit


def test_a_place_is_by_priority_and_then_by_time(store: JobStore) -> None:
    order: list[Priority] = ["normal", "low", "high", "normal", "high"]
    jobs = [submit(store, request(priority=priority)) for priority in order]
    assert [store.get(job.id).queue_position for job in jobs] == [2, 4, 0, 3, 1]
    assert jobs[2].request.priority == "high"


def test_a_job_that_is_given_back_waits_among_its_own_priority(store: JobStore) -> None:
    high, low = (submit(store, request(priority=priority)) for priority in ("high", "low"))
    store.claim(high.id, "worker-1")
    assert store.get(low.id).queue_position == 0
    assert store.release(high.id, 1, counts=False).queue_position == 0
    assert store.get(low.id).queue_position == 1


def test_nothing_is_expected_before_a_job_runs_and_one_has_ended(store: JobStore) -> None:
    first, second, third = (submit(store) for _ in range(3))
    assert second.expected_wait_seconds is None
    store.claim(first.id, "worker-1")
    assert store.get(second.id).expected_wait_seconds is None
    store.finish(first.id, 1, RESULT)
    assert store.get(second.id).expected_wait_seconds is None
    store.claim(second.id, "worker-1")
    assert store.get(second.id).expected_wait_seconds is None
    assert store.get(third.id).expected_wait_seconds == 0


def test_jobs_ahead_times_the_pace_over_the_jobs_that_run(store: JobStore, settings: SharedSettings) -> None:
    running = [submit(store) for _ in range(2)]
    waiting = [submit(store) for _ in range(4)]
    for job in running:
        store.claim(job.id, "worker")
    with redis.Redis.from_url(settings.redis_url) as client:
        client.set(store.keys.pace, "600")
    expected = [300, 600, 900, 1200]
    assert [store.get(job.id).expected_wait_seconds for job in waiting] == expected
    assert [job.expected_wait_seconds for job in store.list_jobs(limit=4).jobs] == expected[::-1]
    assert submit(store).expected_wait_seconds == 1500


def test_the_pace_follows_what_ends_now(store: JobStore, settings: SharedSettings) -> None:
    with redis.Redis.from_url(settings.redis_url, decode_responses=True) as client:

        def end_one_after(seconds: float) -> float:
            job = submit(store)
            store.claim(job.id, "worker")
            claimed = store.now() - int(seconds * 1_000_000)
            client.hset(store.keys.job(job.id), "claimed_at", str(claimed))
            store.finish(job.id, 1, FAILURE)
            return float(str(client.get(store.keys.pace)))

        assert end_one_after(100) == pytest.approx(100, abs=5)
        assert end_one_after(200) == pytest.approx(120, abs=5)
        assert end_one_after(120) == pytest.approx(120, abs=5)
