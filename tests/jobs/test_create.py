"""Submitting: what is recorded, and that one key makes one job."""

import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import redis

from jobs.creation import Creation
from jobs.errors import IdempotencyConflict, JobNotFound, NotRetryable, StoreUnavailable
from jobs.origin import Origin
from jobs.quotas import Quota
from jobs.schema import EventKind, Status
from jobs.settings import SharedSettings
from jobs.store import JobStore
from jobs.tuning import AnyJob
from tests.jobs.conftest import StoreFactory
from tests.jobs.samples import FAILURE, PLAN, RESULT, request, running, submit, wait_until
from tests.servers import valkey_server


def test_a_new_job_is_what_was_submitted(store: JobStore) -> None:
    wanted = request(labels={"team": "nlp", "run": "größer = ok"})
    job, replayed = store.create(wanted, PLAN, "ada")
    assert not replayed
    assert job.request == wanted
    assert job.request.method.options == {"steps": 3, "init": "pad"}
    assert job.plan == PLAN
    assert (job.owner, job.status, job.attempt, job.version, job.queue_position) == ("ada", Status.QUEUED, 0, 1, 0)
    assert abs(job.created_at - datetime.now(UTC)) < timedelta(seconds=10)
    assert job.started_at is None
    assert job.finished_at is None
    assert store.get(job.id) == job
    [event] = store.events(job.id).events
    assert (event.kind, event.data) == (EventKind.STATUS, {"status": "queued"})


def test_the_same_key_and_body_find_the_job_that_is_there(store: JobStore) -> None:
    wanted = request()
    first, _ = store.create(wanted, PLAN, "ada", "key-1")
    claim = store.claim(first.id, "worker-1")
    again, replayed = store.create(wanted, PLAN, "ada", "key-1")
    assert replayed
    assert again == claim.job


def test_the_key_finds_its_job_also_after_the_end(store: JobStore) -> None:
    wanted = request()
    job, _ = store.create(wanted, PLAN, "ada", "key-1")
    ended = store.request_cancel(job.id)
    assert store.create(wanted, PLAN, "ada", "key-1") == (ended, True)


def test_the_same_key_with_another_body_is_refused(store: JobStore) -> None:
    store.create(request(), PLAN, "ada", "key-1")
    with pytest.raises(IdempotencyConflict, match="'key-1' was used for another request"):
        store.create(request(), PLAN, "ada", "key-1")


def test_keys_belong_to_their_owner(store: JobStore) -> None:
    first, _ = store.create(request(), PLAN, "ada", "key-1")
    second, replayed = store.create(request(), PLAN, "ben", "key-1")
    assert not replayed
    assert second.id != first.id


def test_a_key_is_forgotten_after_its_time(store_with: StoreFactory) -> None:
    store = store_with(idempotency_seconds=1)
    first, _ = store.create(request(), PLAN, "ada", "key-1")

    def makes_another() -> bool:
        try:
            return not store.create(request(), PLAN, "ada", "key-1")[1]
        except IdempotencyConflict:
            return False

    assert not makes_another()
    wait_until(makes_another)
    assert store.get(first.id).status == Status.QUEUED


def test_one_key_in_sixteen_threads_makes_one_job(store: JobStore) -> None:
    wanted = request()
    with ThreadPoolExecutor(16) as threads:
        answers = list(threads.map(lambda _: store.create(wanted, PLAN, "ada", "key-1"), range(64)))
    assert len({job.id for job, _ in answers}) == 1
    assert [replayed for _, replayed in answers].count(False) == 1
    assert len(store.list_jobs().jobs) == 1


def test_positions_count_the_jobs_ahead(store: JobStore) -> None:
    jobs = [submit(store) for _ in range(4)]
    store.claim(jobs[0].id, "worker-1")
    store.request_cancel(jobs[2].id)
    assert [store.get(job.id).queue_position for job in jobs] == [None, 0, None, 1]


def test_a_job_that_comes_back_is_the_next(store: JobStore) -> None:
    returning, other = running(store), submit(store)
    assert store.release(returning.id, 1, counts=False).queue_position == 0
    assert store.get(other.id).queue_position == 1


def test_an_unknown_job_is_not_found(store: JobStore) -> None:
    missing = submit(store).id[:-1] + "_"
    for call in (store.get, store.events, store.request_cancel):
        with pytest.raises(JobNotFound):
            call(missing)


def test_ended_jobs_are_forgotten_after_their_time(store_with: StoreFactory) -> None:
    store = store_with(record_retention_seconds=1, idempotency_seconds=1)
    ended, live = running(store), running(store)
    store.finish(ended.id, 1, FAILURE)
    wait_until(lambda: store.forget_ended() == 1)
    assert [job.id for job in store.list_jobs().jobs] == [live.id]
    with pytest.raises(JobNotFound):
        store.get(ended.id)
    assert store.forget_ended() == 0


def test_a_retry_is_made_once(store: JobStore) -> None:
    ended = running(store)
    store.finish(ended.id, 1, FAILURE)
    first, replayed = store.create(ended.request, PLAN, "ada", retry_of=ended.id)
    assert (first.retry_of, replayed) == (ended.id, False)
    again, replayed = store.create(ended.request, PLAN, "ada", retry_of=ended.id)
    assert (again.id, replayed) == (first.id, True)
    with pytest.raises(NotRetryable, match="is queued"):
        store.create(ended.request, PLAN, "ada", retry_of=first.id)
    with pytest.raises(JobNotFound):
        store.create(ended.request, PLAN, "ada", retry_of="job-none")


def _all_made(store: JobStore, creations: list[Creation]) -> list[AnyJob]:
    """New jobs all."""
    made = store.create_all(creations)
    jobs = [answer[0] for answer in made if not isinstance(answer, Exception)]
    assert made == [(job, False) for job in jobs]
    return jobs


def test_what_is_made_is_what_is_on_record(store: JobStore) -> None:
    ended = running(store)
    store.finish(ended.id, 1, FAILURE)
    origin = Origin("request-1", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")
    plain = Creation(request(labels={"team": "größer"}), PLAN, "ada", "key", origin)
    again = Creation(ended.request, PLAN, "ada", retry_of=ended.id, quota=Quota(queued=9, bytes=10**6))
    for creation in (plain, again):
        [made] = _all_made(store, [creation])
        assert made == store.get(made.id)


def test_a_redis_that_forgot_its_scripts_makes_each_job_once(store: JobStore, settings: SharedSettings) -> None:
    with redis.Redis.from_url(settings.redis_url) as client:
        for _ in range(3):
            client.script_flush()
            _all_made(store, [Creation(request(), PLAN, "ada") for _ in range(5)])
    assert len(store.list_jobs().jobs) == 15


def test_a_redis_without_memory_is_told_one_by_one(tmp_path: Path) -> None:
    with valkey_server(tmp_path) as server:
        store = JobStore(SharedSettings(redis_url=server.url))
        submit(store)
        with redis.Redis.from_url(server.url) as client:
            client.config_set("maxmemory-policy", "noeviction")
            client.config_set("maxmemory", 1)
            refused = store.create_all([Creation(request(), PLAN, "ada") for _ in range(3)])
            client.config_set("maxmemory", 0)
        assert [type(error) for error in refused] == [StoreUnavailable] * 3
        assert len(store.list_jobs().jobs) == 1
        store.close()


def test_nothing_stays_of_forgotten_jobs(store_with: StoreFactory, settings: SharedSettings, namespace: str) -> None:
    store = store_with(record_retention_seconds=1, idempotency_seconds=1)
    for number in range(30):
        job = submit(store, request(labels={"team": "nlp", "number": str(number)}), owner=f"owner-{number % 3}")
        store.claim(job.id, "worker-1")
        store.finish(job.id, 1, (RESULT, FAILURE, None)[number % 3])
    time.sleep(1.1)
    with ThreadPoolExecutor(8) as threads:
        assert sum(threads.map(lambda _: store.forget_ended(), range(8))) == 30
    with redis.Redis.from_url(settings.redis_url) as client:
        # How long jobs ran lately, and how often what happened, is of no single job.
        of_all = {store.keys.pace.encode(), store.keys.counters.encode()}
        wait_until(lambda: set(client.scan_iter(match=f"{namespace}:*")) == of_all)
