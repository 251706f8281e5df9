"""How much an owner may have at a time: held by the very steps that make and claim jobs."""

from concurrent.futures import ThreadPoolExecutor

import pytest
import redis
from celery import Celery

from jobs.errors import NotClaimable, QuotaExceeded
from jobs.quotas import Quota
from jobs.reconcile import reconcile_once
from jobs.schema import Job
from jobs.settings import SharedSettings
from jobs.store import JobStore
from tests.jobs.samples import FAILURE, PLAN, RESULT, request

BYTES = PLAN.target.weight_bytes


def make(store: JobStore, quota: Quota, owner: str = "ada") -> Job:
    job, _ = store.create(request(), PLAN, owner, quota=quota)
    return job


def test_jobs_that_wait(store: JobStore) -> None:
    quota = Quota(queued=2)
    first, _ = make(store, quota), make(store, quota)
    with pytest.raises(QuotaExceeded, match="when one has started") as refused:
        make(store, quota)
    assert refused.value.retry_after_seconds == 30
    assert len(store.list_jobs().jobs) == 2
    make(store, quota, owner="ben")
    store.claim(first.id, "worker")
    make(store, quota)


def test_a_refused_job_leaves_nothing(store: JobStore, settings: SharedSettings, namespace: str) -> None:
    with pytest.raises(QuotaExceeded):
        make(store, Quota(queued=0))
    with redis.Redis.from_url(settings.redis_url) as client:
        assert list(client.scan_iter(match=f"{namespace}:*")) == []


def test_a_repeated_request_is_no_further_job(store: JobStore) -> None:
    wanted, quota = request(), Quota(queued=1)
    first, _ = store.create(wanted, PLAN, "ada", "key", quota=quota)
    again, replayed = store.create(wanted, PLAN, "ada", "key", quota=quota)
    assert (again.id, replayed) == (first.id, True)


def test_many_at_once_do_not_get_past_it(store: JobStore) -> None:
    def attempt(_: int) -> bool:
        try:
            make(store, Quota(queued=5))
        except QuotaExceeded:
            return False
        return True

    with ThreadPoolExecutor(16) as threads:
        assert sum(threads.map(attempt, range(40))) == 5


def test_bytes_of_jobs_that_have_not_ended(store: JobStore, settings: SharedSettings) -> None:
    quota = Quota(bytes=3 * BYTES)
    jobs = [make(store, quota) for _ in range(3)]
    for ending in range(3):
        with pytest.raises(QuotaExceeded, match="bytes"):
            make(store, quota)
        if ending == 0:
            store.request_cancel(jobs[0].id)
        else:
            store.claim(jobs[ending].id, "worker")
            with pytest.raises(QuotaExceeded):
                make(store, quota)
            store.finish(jobs[ending].id, 1, RESULT if ending == 1 else FAILURE)
        jobs.append(make(store, quota))
    for job in jobs:
        store.request_cancel(job.id)
    with redis.Redis.from_url(settings.redis_url) as client:
        assert not client.exists(store.keys.load("ada"))


def test_when_to_ask_again_is_about_when_a_job_ends(store: JobStore, settings: SharedSettings) -> None:
    with redis.Redis.from_url(settings.redis_url) as client:
        for pace, seconds in [("0.2", 1), ("42.4", 42), ("9000", 300)]:
            client.set(store.keys.pace, pace)
            with pytest.raises(QuotaExceeded) as refused:
                make(store, Quota(queued=0))
            assert refused.value.retry_after_seconds == seconds


def test_jobs_that_run_hold_back_their_owners_alone(store: JobStore, settings: SharedSettings, celery: Celery) -> None:
    quota = Quota(running=1)
    first, second = make(store, quota), make(store, quota)
    other = make(store, quota, owner="ben")
    store.claim(first.id, "worker-1")
    with pytest.raises(NotClaimable) as refused:
        store.claim(second.id, "worker-2")
    assert refused.value.reason == "held"
    held = store.get(second.id)
    assert (held.status, held.attempt, held.queue_position) == ("queued", 0, 0)
    store.claim(other.id, "worker-2")
    store.finish(first.id, 1, RESULT)
    assert reconcile_once(store, celery).published == 0
    with redis.Redis.from_url(settings.redis_url) as client:
        client.zadd(store.keys.outbox, {second.id: 0})
    assert reconcile_once(store, celery).published >= 1
    assert store.claim(second.id, "worker-1").attempt == 1


def test_a_job_taken_over_is_not_held_by_itself(hasty: JobStore) -> None:
    job = make(hasty, Quota(running=1))
    assert hasty.claim(job.id, "worker-1").attempt == 1
    hasty.release(job.id, 1, counts=True)
    assert hasty.claim(job.id, "worker-2").attempt == 2
