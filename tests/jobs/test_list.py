"""Listing: every filter against a plain scan, and pages that are complete while jobs come and go."""

import itertools
import threading
from collections.abc import Iterable
from contextlib import closing
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import redis

from jobs.errors import InvalidCursor
from jobs.listing import EVERY_JOB, Filter
from jobs.schema import Job, Status
from jobs.settings import SharedSettings
from jobs.store import JobStore
from jobs.tuning import AnyJob
from tests.jobs.samples import FAILURE, RESULT, request, submit
from tests.servers import RedisServer, valkey_server


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
    owners, statuses = ("ada", "nobody"), (None, *Status)
    methods: tuple[str | None, ...] = (None, "ligo")
    labels: tuple[dict[str, str], ...] = ({}, {"team": "nlp"}, {"team": "vision", "note": "a=b:c"}, {"team": "x"})
    for owner, status, method, wanted in itertools.product(owners, statuses, methods, labels):
        expected = [
            job.id
            for job in jobs
            if owner == job.owner
            and status in (None, job.status)
            and method in (None, job.request.method.name)
            and wanted.items() <= job.request.labels.items()
        ]
        where = Filter(owner=owner, status=status, method=method, labels=tuple(wanted.items()))
        assert [job.id for job in _walk(store, where)] == expected


def test_every_owners_jobs_by_status(store: JobStore) -> None:
    jobs = _mixed(store)
    assert _walk(store) == jobs
    for status in Status:
        assert _walk(store, Filter(status=status)) == [job for job in jobs if job.status is status]
    for more in ({"method": "ligo"}, {"labels": (("team", "nlp"),)}):
        with pytest.raises(ValueError, match="name an owner"):
            Filter(**more)


FILTERS = [
    EVERY_JOB,
    Filter(status=Status.FAILED),
    Filter("ada", status=Status.FAILED),
    Filter("ada", method="rare"),
    Filter("ada", labels=(("team", "rare"),)),
    Filter("ada", status=Status.FAILED, method="lemon", labels=(("team", "rare"),)),
    Filter("ada", status=Status.CANCELLED, method="lemon", labels=(("team", "nlp"),)),
]
"""Of every kind; of the last one there is no job, though there are many of each of its parts."""


def _commands(store: JobStore, client: redis.Redis, where: Filter) -> dict[str, int]:
    """How often Redis runs each command to list one page, those of scripts among them."""
    client.config_resetstat()
    store.list_jobs(where, limit=5)
    statistics: Any = client.info("commandstats")
    return {name: figures["calls"] for name, figures in statistics.items() if "config" not in name}


def test_a_page_takes_as_many_commands_whatever_is_on_record(tmp_path: Path) -> None:
    """On a server of its own, which counts nobody else's commands."""
    with valkey_server(tmp_path, aof=False) as server, closing(JobStore(SharedSettings(redis_url=server.url))) as store:
        _check_commands(store, server)


def _check_commands(store: JobStore, valkey: RedisServer) -> None:
    def add_ten() -> None:
        for number in range(10):
            label, method = ("rare", "rare") if number == 0 else ("nlp", "lemon")
            job = submit(store, request(method=method, labels={"team": label}))
            if number % 2 == 0:
                store.claim(job.id, "worker-1")
                store.finish(job.id, 1, FAILURE)
        store.request_cancel(submit(store, request(method="lemon", labels={"team": "rare"})).id)

    with redis.Redis.from_url(valkey.url, decode_responses=True) as client:
        for _ in range(6):
            add_ten()
        for where in FILTERS:  # from now on Redis knows the script
            store.list_jobs(where, limit=5)
        few = [_commands(store, client, where) for where in FILTERS]
        for _ in range(54):
            add_ten()
        assert [_commands(store, client, where) for where in FILTERS] == few
        assert all(counts["cmdstat_zrange"] == 1 for counts in few)


def test_several_labels_are_sought_not_scanned(store: JobStore, valkey: RedisServer) -> None:
    both = submit(store, request(labels={"team": "nlp", "stage": "final"}))
    for number in range(200):
        submit(store, request(labels={"team": "nlp"} if number < 100 else {"stage": "final"}))
    where = Filter("ada", labels=(("team", "nlp"), ("stage", "final")))
    with redis.Redis.from_url(valkey.url, decode_responses=True) as client:
        assert _commands(store, client, where)["cmdstat_zrange"] <= 6
    assert _walk(store, where) == [both]


def test_a_search_that_takes_too_long_goes_on_with_the_next_page(
    store: JobStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    both = [submit(store, request(labels={"team": "nlp", "stage": "final"})) for _ in range(2)]
    for number in range(40):
        submit(store, request(labels={"team": "nlp"} if number % 2 else {"stage": "final"}))
    monkeypatch.setattr("jobs.store.MOST_SEEKS", 6)
    where = Filter("ada", labels=(("team", "nlp"), ("stage", "final")))
    assert store.list_jobs(where).jobs == []
    assert _walk(store, where) == both[::-1]


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
