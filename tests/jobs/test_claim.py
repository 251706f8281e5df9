"""Claims and leases: one holder at a time, a lost worker is followed by another, but not forever."""

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest

from jobs.errors import NotClaimable
from jobs.schema import Stage, Status
from jobs.scripts import Scripts, connect
from jobs.settings import SharedSettings
from jobs.store import Claim, JobStore
from tests.jobs.conftest import StoreFactory
from tests.jobs.samples import FAILURE, RESULT, running, submit, wait_until


def _claim(store: JobStore, job_id: str) -> Claim | str:
    try:
        return store.claim(job_id, "worker-1")
    except NotClaimable as refusal:
        return refusal.reason


def test_a_claim_starts_an_attempt(store: JobStore) -> None:
    job = submit(store)
    claim = store.claim(job.id, "worker-1")
    assert claim.attempt == 1
    assert claim.job == store.get(job.id)
    assert (claim.job.status, claim.job.attempt, claim.job.queue_position) == (Status.RUNNING, 1, None)
    assert claim.job.started_at is not None
    assert timedelta(seconds=55) < claim.lease_until - claim.job.started_at < timedelta(seconds=65)
    assert store.events(job.id).events[-1].data == {"status": "running", "worker": "worker-1"}


def test_of_many_claims_at_once_one_wins(store: JobStore) -> None:
    jobs = [submit(store) for _ in range(5)]
    with ThreadPoolExecutor(16) as threads:
        for job in jobs:
            answers = list(threads.map(lambda _, job_id=job.id: _claim(store, job_id), range(16)))
            assert answers.count("leased") == 15
            assert store.get(job.id).attempt == 1


def test_of_many_claims_after_a_lost_lease_one_wins(store_with: StoreFactory) -> None:
    store = store_with(lease_seconds=1.0, lease_renew_seconds=0.3)
    job = running(store)
    wait_until(lambda: store.expired_leases() == [job.id])
    with ThreadPoolExecutor(16) as threads:
        answers = list(threads.map(lambda _: _claim(store, job.id), range(16)))
    assert answers.count("leased") == 15
    assert store.get(job.id).attempt == 2


def test_a_claim_sent_twice_is_one_claim(store: JobStore, settings: SharedSettings) -> None:
    job = submit(store)
    scripts = Scripts(client := connect(settings.redis_url))
    arguments: list[str | int | float] = [job.id, "this very call", "worker-1", 60.0, 3, "{}"]
    outcome, (_, first, *_), *until = scripts.on_job("claim", store.keys.of_job(job.id), arguments)
    assert outcome == "ok"
    again, (_, second, *_), *until_again = scripts.on_job("claim", store.keys.of_job(job.id), arguments)
    assert (again, sorted(second), until_again) == (outcome, sorted(first), until)
    client.close()


@pytest.mark.parametrize(
    ("state", "reason"),
    [("missing", "not_found"), ("succeeded", "terminal"), ("failed", "terminal"), ("cancelled", "terminal")],
)
def test_what_can_not_be_claimed(store: JobStore, state: str, reason: str) -> None:
    job = running(store)
    if state == "missing":
        job.id = "job-none"
    elif state == "cancelled":
        store.finish(job.id, 1, None)
    else:
        store.finish(job.id, 1, RESULT if state == "succeeded" else FAILURE)
    assert _claim(store, job.id) == reason


def test_renewing_keeps_the_lease(store_with: StoreFactory) -> None:
    store = store_with(lease_seconds=0.6, lease_renew_seconds=0.1)
    job = running(store)
    first_end = store.now() + 600_000
    while store.now() < first_end + 300_000:
        assert store.renew(job.id, 1) is False
        assert _claim(store, job.id) == "leased"


def test_an_ended_lease_is_still_its_holders_until_another_comes(hasty: JobStore) -> None:
    job = running(hasty)
    wait_until(lambda: hasty.expired_leases() == [job.id])
    hasty.update(job.id, 1, stage=Stage.FITTING)
    assert hasty.renew(job.id, 1) is False


def test_a_lost_lease_leads_to_the_next_attempt(hasty: JobStore) -> None:
    job = running(hasty)
    hasty.update(job.id, 1, stage=Stage.EXPANDING, progress=0.5)
    wait_until(lambda: isinstance(_claim(hasty, job.id), Claim))
    taken = hasty.get(job.id)
    assert (taken.attempt, taken.stage, taken.progress) == (2, None, 0.0)
    assert taken.started_at == job.started_at


def test_reclaiming_puts_the_job_back_into_the_queue(hasty: JobStore) -> None:
    job = running(hasty)
    wait_until(lambda: hasty.reclaim(job.id))
    back = hasty.get(job.id)
    assert (back.status, back.attempt, back.queue_position) == (Status.QUEUED, 1, 0)
    assert hasty.events(job.id).events[-1].data == {"status": "queued", "reason": "lease_ended"}
    assert hasty.expired_leases() == []
    assert not hasty.reclaim(job.id)


def test_a_live_lease_is_not_reclaimed(store: JobStore) -> None:
    job = running(store)
    assert store.expired_leases() == []
    assert not store.reclaim(job.id)


def test_a_job_that_loses_every_worker_fails_as_poison(store_with: StoreFactory) -> None:
    store = store_with(max_attempts=2)
    job = running(store)
    store.release(job.id, 1, counts=True)
    store.claim(job.id, "worker-2")
    store.release(job.id, 2, counts=True)
    assert _claim(store, job.id) == "poison"
    failed = store.get(job.id)
    assert (failed.status, failed.attempt) == (Status.FAILED, 2)
    assert failed.error is not None
    assert failed.error.code == "poison"
    assert failed.error.detail == "The worker was lost in each of 2 attempts, so the job is not tried again."
    assert failed.finished_at is not None
    assert store.events(job.id).events[-1].data["status"] == "failed"
    assert _claim(store, job.id) == "terminal"


def test_attempts_that_do_not_count_never_lead_to_poison(store_with: StoreFactory) -> None:
    store = store_with(max_attempts=1)
    job = running(store)
    for attempt in range(1, 5):
        store.release(job.id, attempt, counts=False)
        assert store.claim(job.id, "worker-1").attempt == attempt + 1
