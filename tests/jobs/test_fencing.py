"""Every write carries the attempt's token; a stale one changes nothing."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from jobs.errors import LeaseLost
from jobs.schema import EventKind, Failure, Result, Stage, Status
from jobs.store import JobStore
from tests.jobs.samples import FAILURE, RESULT, running, wait_until

Write = Callable[[JobStore, str, int], object]

WRITES: dict[str, Write] = {
    "renew": lambda store, job_id, token: store.renew(job_id, token),
    "update": lambda store, job_id, token: store.update(job_id, token, stage=Stage.COMMITTING, progress=0.9),
    "append_event": lambda store, job_id, token: store.append_event(job_id, token, EventKind.LOG, {"line": "late"}),
    "succeed": lambda store, job_id, token: store.finish(job_id, token, RESULT),
    "fail": lambda store, job_id, token: store.finish(job_id, token, FAILURE),
    "cancel": lambda store, job_id, token: store.finish(job_id, token, None),
    "release": lambda store, job_id, token: store.release(job_id, token, counts=True),
}


def _reclaimed(store: JobStore, job_id: str) -> None:
    wait_until(lambda: store.reclaim(job_id))


def _taken_over(store: JobStore, job_id: str) -> None:
    _reclaimed(store, job_id)
    store.claim(job_id, "worker-2")


def _released(store: JobStore, job_id: str) -> None:
    store.release(job_id, 1, counts=False)
    store.claim(job_id, "worker-2")


def _cancelled(store: JobStore, job_id: str) -> None:
    _reclaimed(store, job_id)
    store.request_cancel(job_id)


def _succeeded(store: JobStore, job_id: str) -> None:
    _taken_over(store, job_id)
    store.finish(job_id, 2, RESULT)


def _failed(store: JobStore, job_id: str) -> None:
    _taken_over(store, job_id)
    store.finish(job_id, 2, FAILURE)


@pytest.mark.parametrize("lose", [_reclaimed, _taken_over, _released, _cancelled, _succeeded, _failed])
def test_a_stale_token_writes_nothing(hasty: JobStore, lose: Callable[[JobStore, str], None]) -> None:
    job = running(hasty)
    lose(hasty, job.id)
    before, events = hasty.get(job.id), hasty.events(job.id)
    for write in WRITES.values():
        with pytest.raises(LeaseLost, match=f"Attempt 1 no longer holds job {job.id}"):
            write(hasty, job.id, 1)
    assert hasty.get(job.id) == before
    assert hasty.events(job.id) == events


@pytest.mark.parametrize("write", WRITES)
def test_a_token_of_the_future_writes_nothing(store: JobStore, write: str) -> None:
    job = running(store)
    with pytest.raises(LeaseLost):
        WRITES[write](store, job.id, 2)
    assert store.get(job.id) == job


@pytest.mark.parametrize("write", WRITES)
def test_an_unknown_job_takes_no_write(store: JobStore, write: str) -> None:
    with pytest.raises(LeaseLost):
        WRITES[write](store, "job-none", 1)


@pytest.mark.parametrize(
    ("outcome", "status"), [(RESULT, Status.SUCCEEDED), (FAILURE, Status.FAILED), (None, Status.CANCELLED)]
)
def test_a_job_ends_once_and_forever(store: JobStore, outcome: Result | Failure | None, status: Status) -> None:
    job = running(store)
    store.update(job.id, 1, stage=Stage.VERIFYING, progress=0.25)
    ended = store.finish(job.id, 1, outcome)
    assert ended.status == status
    assert ended.result == (outcome if isinstance(outcome, Result) else None)
    assert ended.error == (outcome if isinstance(outcome, Failure) else None)
    assert ended.progress == (1.0 if isinstance(outcome, Result) else 0.25)
    assert ended.finished_at is not None
    events = store.events(job.id)
    for write in WRITES.values():
        try:
            write(store, job.id, 1)
        except LeaseLost:
            continue
    store.request_cancel(job.id)
    store.mark_published(job.id)
    store.reclaim(job.id)
    assert store.get(job.id) == ended
    assert store.events(job.id) == events


def test_an_ending_sent_twice_is_one_ending(store: JobStore) -> None:
    job = running(store)
    assert store.finish(job.id, 1, RESULT) == store.finish(job.id, 1, RESULT)


def test_a_release_sent_twice_is_one_release(store: JobStore) -> None:
    job = running(store)
    assert store.release(job.id, 1, counts=False) == store.release(job.id, 1, counts=False)


def test_a_released_job_waits_as_if_new(store: JobStore) -> None:
    job = running(store)
    store.update(job.id, 1, stage=Stage.FITTING, progress=0.5)
    back = store.release(job.id, 1, counts=True)
    assert (back.status, back.stage, back.progress, back.queue_position) == (Status.QUEUED, None, 0.0, 0)


def test_of_many_endings_at_once_one_wins(store: JobStore) -> None:
    job = running(store)
    outcomes: list[Result | Failure | None] = [RESULT, FAILURE, None]

    def ends(number: int) -> Status | None:
        try:
            return store.finish(job.id, 1, outcomes[number % 3]).status
        except LeaseLost:
            return None

    with ThreadPoolExecutor(15) as threads:
        statuses = list(threads.map(ends, range(15)))
    final = store.get(job.id)
    assert set(statuses) == {None, final.status}
    assert final.version == job.version + 1


def test_each_visible_change_is_one_version_and_one_event(store: JobStore) -> None:
    job = running(store)
    store.update(job.id, 1, stage=Stage.FITTING)
    store.update(job.id, 1, stage=Stage.FITTING)
    store.update(job.id, 1, progress=0.1)
    store.update(job.id, 1, progress=0.1)
    store.update(job.id, 1, stage=Stage.EXPANDING, progress=0.2)
    store.renew(job.id, 1)
    seen = store.get(job.id)
    assert (seen.stage, seen.progress, seen.version) == (Stage.EXPANDING, 0.2, job.version + 3)
    assert [(event.kind, event.data) for event in store.events(job.id).events[2:]] == [
        (EventKind.STAGE, {"stage": "fitting"}),
        (EventKind.PROGRESS, {"stage": "fitting", "progress": 0.1}),
        (EventKind.STAGE, {"stage": "expanding"}),
    ]
