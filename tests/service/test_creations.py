"""Creations that are sent together: each has its own answer, and Redis does the work of one sync for all."""

import asyncio
import os
import signal
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest
import redis

from jobs.creation import Creation
from jobs.errors import IdempotencyConflict, OutputReserved, StoreUnavailable
from jobs.keys import Keys
from jobs.settings import SharedSettings
from jobs.store import JobStore
from service.answers import Answer
from service.creations import MOST_TOGETHER, Creations, Made
from tests.jobs.samples import PLAN, request
from tests.servers import valkey_server

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@contextmanager
def _creations(store: JobStore) -> Iterator[Creations]:
    creations = Creations(store)
    try:
        yield creations
    finally:
        creations.stop()


async def _made(creations: Creations, wanted: Sequence[Creation]) -> list[Made]:
    """All of them, none refused."""
    made = await _answers(creations, wanted)
    refused = [answer for answer in made if isinstance(answer, BaseException)]
    assert not refused
    return [answer for answer in made if not isinstance(answer, BaseException)]


async def _answers(creations: Creations, wanted: Sequence[Creation]) -> list[Made | BaseException]:
    answers: list[Answer[Made]] = [Answer() for _ in wanted]
    for creation, answer in zip(wanted, answers, strict=True):
        creations.add(creation, answer)
    creations.begin()
    return await asyncio.gather(*(answer.wait() for answer in answers), return_exceptions=True)


async def test_each_gets_its_own_job(store: JobStore) -> None:
    wanted = [Creation(request(labels={"n": str(n)}), PLAN, "ada", f"key-{n}") for n in range(3 * MOST_TOGETHER)]
    with _creations(store) as creations:
        made = await _made(creations, wanted)
        again = await _made(creations, wanted)
    jobs = [job for job, _ in made]
    assert [job.request for job in jobs] == [creation.request for creation in wanted]
    assert made == [(store.get(job.id).model_copy(update={"queue_position": n}), False) for n, job in enumerate(jobs)]
    assert [(job.id, replayed) for job, replayed in again] == [(job.id, True) for job in jobs]


async def test_one_key_among_many_makes_one_job(store: JobStore) -> None:
    wanted = request()
    with _creations(store) as creations:
        made = await _made(creations, [Creation(wanted, PLAN, "ada", "key")] * 40)
    assert len({job.id for job, _ in made}) == 1
    assert [replayed for _, replayed in made].count(False) == 1
    assert len(store.list_jobs().jobs) == 1


async def test_one_that_is_refused_takes_no_other_along(store: JobStore) -> None:
    first, taken, conflict, last = request(), request(), request(), request()
    wanted = [
        Creation(first, PLAN, "ada", "first"),
        Creation(taken, PLAN, "ada"),
        Creation(taken, PLAN, "ben"),
        Creation(conflict, PLAN, "ada", "first"),
        Creation(last, PLAN, "ada"),
    ]
    with _creations(store) as creations:
        kinds = [type(answer) for answer in await _answers(creations, wanted)]
    assert kinds == [tuple, tuple, OutputReserved, IdempotencyConflict, tuple]
    assert {str(job.owner) for job in store.list_jobs().jobs} == {"ada"}
    assert len(store.list_jobs().jobs) == 3


async def test_all_are_told_of_a_redis_that_is_away_and_made_when_it_is_back(tmp_path: Path) -> None:
    wanted = [Creation(request(), PLAN, "ada", f"key-{n}") for n in range(10)]
    with valkey_server(tmp_path) as server:
        store = JobStore(SharedSettings(redis_url=server.url))
        os.kill(server.pid, signal.SIGKILL)
    with _creations(store) as creations:
        assert {type(answer) for answer in await _answers(creations, wanted)} == {StoreUnavailable}
        with valkey_server(tmp_path, port=server.port):
            made = await _made(creations, wanted)
            assert [replayed for _, replayed in made] == [False] * 10
            assert len(store.list_jobs().jobs) == 10
    store.close()


async def test_what_was_added_is_on_record_when_all_has_stopped(store: JobStore) -> None:
    creations = Creations(store)
    for _ in range(5):
        creations.add(Creation(request(), PLAN, "ada"), Answer())
    creations.stop()
    assert len(store.list_jobs().jobs) == 5


async def test_a_bug_is_told_too_and_the_thread_goes_on(store: JobStore) -> None:
    broken = Creation(request(), PLAN.model_copy(update={"target": None}), "ada")
    with _creations(store) as creations:
        [told] = await _answers(creations, [broken])
        assert isinstance(told, AttributeError | UserWarning)
        await _made(creations, [Creation(request(), PLAN, "ada")])


async def test_together_they_take_few_syncs_of_the_disk(tmp_path: Path) -> None:
    wanted = [Creation(request(), PLAN, "ada", f"key-{n}") for n in range(MOST_TOGETHER)]
    with valkey_server(tmp_path) as server:
        store = JobStore(SharedSettings(redis_url=server.url))
        with redis.Redis.from_url(server.url) as client, _creations(store) as creations:
            await _made(creations, [Creation(request(), PLAN, "ada")])
            before = _reads(client)
            await _made(creations, wanted)
            # Redis reads what comes together in pieces of some 16 KiB, and syncs once after each.
            assert _reads(client) - before < len(wanted)
            assert client.zcard(Keys().all) == len(wanted) + 1
        store.close()


def _reads(client: redis.Redis) -> int:
    found = client.info("stats")
    assert isinstance(found, dict)
    return int(found["total_reads_processed"])
