"""Cancelling, in each state that a job can be in."""

import pytest

from jobs.errors import NotClaimable
from jobs.schema import Failure, Result, Status
from jobs.store import JobStore
from tests.jobs.samples import FAILURE, RESULT, running, submit, wait_until


def test_a_queued_job_ends_at_once(store: JobStore) -> None:
    job = submit(store)
    ended = store.request_cancel(job.id)
    assert (ended.status, ended.attempt, ended.queue_position) == (Status.CANCELLED, 0, None)
    assert ended.finished_at is not None
    assert store.take_due() == []
    assert store.request_cancel(job.id) == ended


def test_a_running_job_is_asked_to_stop(store: JobStore) -> None:
    job = running(store)
    asked = store.request_cancel(job.id)
    assert (asked.status, asked.cancel_requested, asked.version) == (Status.RUNNING, True, job.version + 1)
    assert store.events(job.id).events[-1].data == {"status": "running", "cancel_requested": True}
    assert store.request_cancel(job.id) == asked
    assert store.renew(job.id, 1) is True
    assert store.finish(job.id, 1, None).status == Status.CANCELLED


def test_a_job_that_finishes_before_it_hears_of_it_has_finished(store: JobStore) -> None:
    job = running(store)
    store.request_cancel(job.id)
    assert store.finish(job.id, 1, RESULT).status == Status.SUCCEEDED


def test_a_job_that_is_given_back_after_the_request_ends(store: JobStore) -> None:
    job = running(store)
    store.request_cancel(job.id)
    assert store.release(job.id, 1, counts=True).status == Status.CANCELLED


def test_a_job_that_lost_its_worker_ends_when_it_is_reclaimed(hasty: JobStore) -> None:
    job = running(hasty)
    hasty.request_cancel(job.id)
    wait_until(lambda: hasty.reclaim(job.id))
    assert hasty.get(job.id).status == Status.CANCELLED


def test_a_job_that_lost_its_worker_ends_when_it_is_claimed(hasty: JobStore) -> None:
    job = running(hasty)
    hasty.request_cancel(job.id)

    def refused_as_cancelled() -> bool:
        with pytest.raises(NotClaimable) as refusal:
            hasty.claim(job.id, "worker-2")
        return refusal.value.reason == "cancelled"

    wait_until(refused_as_cancelled)
    assert hasty.get(job.id).status == Status.CANCELLED


@pytest.mark.parametrize("outcome", [RESULT, FAILURE, None])
def test_an_ended_job_stays_as_it_is(store: JobStore, outcome: Result | Failure | None) -> None:
    job = running(store)
    ended = store.finish(job.id, 1, outcome)
    assert store.request_cancel(job.id) == ended


def test_what_a_dead_attempt_left_of_a_cancelled_job_is_cleared_by_one_more_message(store: JobStore) -> None:
    job = running(store)
    store.release(job.id, 1, counts=True)
    assert store.request_cancel(job.id).status == Status.CANCELLED
    assert store.take_due() == [job.id]
    store.mark_published(job.id)
    assert store.take_due() == []
    assert store.republish(1, silent_seconds=0) == [job.id]
    store.mark_published(job.id)
    store.cleared(job.id)
    assert store.published_jobs() == 0
    assert store.take_due() == []
    assert store.get(job.id).status == Status.CANCELLED
