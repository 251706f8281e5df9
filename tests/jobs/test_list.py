"""Listing: every filter against a plain scan, and pages that are complete while jobs come and go."""

import itertools
import threading
from collections.abc import Iterable
from datetime import timedelta

import pytest

from jobs.errors import InvalidCursor
from jobs.listing import EVERY_JOB, Filter
from jobs.schema import Job, Status
from jobs.store import JobStore
from jobs.tuning import AnyJob
from tests.jobs.samples import FAILURE, RESULT, request, submit


def _walk(store: JobStore, where: Filter = EVERY_JOB, limit: int = 3) -> list[Job]:
    page = store.list_jobs(where, limit=limit)
    jobs = page.jobs
    while page.next_cursor is not None:
        page = store.list_jobs(where, cursor=page.next_cursor, limit=limit)
        assert len(page.jobs) <= limit
        jobs = jobs + page.jobs
    return _growths(jobs)


def _growths(jobs: Iterable[AnyJob]) -> list[Job]:
    """None of the tests here lists anything else."""
    return [job for job in jobs if isinstance(job, Job)]


def _mixed(store: JobStore) -> list[Job]:
    """Jobs of two owners, three methods, with and without a label, in every status; newest first."""
    endings = itertools.cycle([None, "running", "succeeded", "failed", "cancelled"])
    ids = []
    for number in range(30):
        labels = {"team": "nlp"} if number % 4 else {"team": "vision", "note": "a=b:c"}
        wanted = request(method=("stack", "ligo", "lemon")[number % 3], labels=labels)
        job = submit(store, wanted, owner=("ada", "ben")[number % 2])
        ids.append(job.id)
        match next(endings):
            case "cancelled":
                store.request_cancel(job.id)
            case "running" | "succeeded" | "failed" as ending:
                store.claim(job.id, "worker-1")
                if ending != "running":
                    store.finish(job.id, 1, RESULT if ending == "succeeded" else FAILURE)
    return _growths(store.get(job_id) for job_id in reversed(ids))


def test_all_filters_together_and_alone(store: JobStore) -> None:
    jobs = _mixed(store)
    owners, statuses = (None, "ada", "nobody"), (None, *Status)
    methods: tuple[str | None, ...] = (None, "ligo")
    labels: tuple[dict[str, str], ...] = ({}, {"team": "nlp"}, {"team": "vision", "note": "a=b:c"}, {"team": "x"})
    for owner, status, method, wanted in itertools.product(owners, statuses, methods, labels):
        expected = [
            job.id
            for job in jobs
            if owner in (None, job.owner)
            and status in (None, job.status)
            and method in (None, job.request.method.name)
            and wanted.items() <= job.request.labels.items()
        ]
        where = Filter(owner=owner, status=status, method=method, labels=tuple(wanted.items()))
        assert [job.id for job in _walk(store, where)] == expected


def test_listed_jobs_are_whole(store: JobStore) -> None:
    jobs = _mixed(store)
    assert store.list_jobs(limit=100).jobs == jobs
    assert store.list_jobs(limit=100).next_cursor is None


def test_a_last_page_that_is_full_has_no_next(store: JobStore) -> None:
    for _ in range(4):
        submit(store)
    page = store.list_jobs(limit=2)
    assert page.next_cursor is not None
    assert store.list_jobs(cursor=page.next_cursor, limit=2).next_cursor is None


def test_times_of_creation(store: JobStore) -> None:
    jobs = [submit(store) for _ in range(5)][::-1]
    middle = jobs[2].created_at
    assert _walk(store, Filter(created_before=middle)) == jobs[3:]
    assert _walk(store, Filter(created_from=middle)) == jobs[:3]
    assert _walk(store, Filter(created_from=middle, created_before=middle + timedelta(microseconds=1))) == [jobs[2]]


def test_pages_are_complete_without_duplicates_while_jobs_come(store: JobStore) -> None:
    before = {submit(store).id for _ in range(40)}
    stop = threading.Event()

    def add() -> None:
        while not stop.is_set():
            store.request_cancel(submit(store).id)

    adding = threading.Thread(target=add)
    adding.start()
    try:
        for limit in (1, 3, 7):
            seen = [job.id for job in _walk(store, limit=limit)]
            assert len(set(seen)) == len(seen)
            assert before <= set(seen)
            assert seen == sorted(seen, reverse=True)
            queued = [job.id for job in _walk(store, Filter(status=Status.QUEUED), limit)]
            assert before <= set(queued)
    finally:
        stop.set()
        adding.join()


@pytest.mark.parametrize("cursor", ["", "1", "job-", "+", "job-00000000000000-0000000000\n", "(job-x"])
def test_made_up_cursors_are_refused(store: JobStore, cursor: str) -> None:
    with pytest.raises(InvalidCursor):
        store.list_jobs(cursor=cursor)
    with pytest.raises(InvalidCursor):
        store.events(submit(store).id, after=cursor + "x")
