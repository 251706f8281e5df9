"""The job store's numbers: each counted with the change that it counts, once, whatever is sent twice."""

import re
from importlib.resources import files

import pytest

from jobs.counters import BOUNDS, Counters, Snapshot
from jobs.errors import LeaseLost, NotClaimable
from jobs.schema import EventKind, Priority, Stage, Status
from jobs.store import JobStore
from tests.jobs.conftest import StoreFactory
from tests.jobs.samples import FAILURE, RESULT, request, running, submit, wait_until
from tests.servers import RedisServer

USED = {"bytes_read": 100, "bytes_written": 40, "fit_steps": 3, "training_steps": 0, "host_memory_bytes": 7}


@pytest.fixture
def counters(store: JobStore, valkey: RedisServer) -> Counters:
    return Counters(store.keys, valkey.url)


def test_nothing_has_happened_yet(counters: Counters) -> None:
    seen = counters.read()
    assert set(seen.by_status.values()) == {0}
    assert seen.count("attempts") == 0
    assert seen.queue_waits().counts == (0,) * (len(BOUNDS) + 1)
    assert seen.working == []


def test_the_buckets_are_those_of_the_scripts() -> None:
    lua = (files("jobs") / "lua" / "job.lua").read_text()
    (bounds,) = re.findall(r"local BOUNDS = \{(.*)\}", lua)
    assert tuple(int(bound) for bound in bounds.split(",")) == BOUNDS


def test_depth_by_status_and_priority(store: JobStore, counters: Counters) -> None:
    wanted: dict[Priority, int] = {"high": 1, "normal": 3, "low": 2}
    for priority, jobs in wanted.items():
        for _ in range(jobs):
            submit(store, request().model_copy(update={"priority": priority}))
    running(store)
    seen = counters.read()
    assert seen.queued == wanted
    assert (seen.by_status[Status.QUEUED], seen.by_status[Status.RUNNING]) == (6, 1)
    assert seen.count("submitted") == 7


def test_endings_and_how_attempts_came_to_them(store: JobStore, counters: Counters) -> None:
    for outcome in (RESULT, FAILURE, None):
        job = running(store)
        store.finish(job.id, 1, outcome)
        store.finish(job.id, 1, outcome)
    store.release(running(store).id, 1, counts=True)
    store.request_cancel(submit(store).id)
    seen = counters.read()
    assert {status: seen.count("ended", status) for status in ("succeeded", "failed", "cancelled")} == {
        "succeeded": 1,
        "failed": 1,
        "cancelled": 2,
    }
    outcomes = {outcome: seen.count("attempts_ended", outcome) for outcome in ("succeeded", "cancelled", "released")}
    assert outcomes == {"succeeded": 1, "cancelled": 1, "released": 1}
    assert seen.count("attempts") == 4


@pytest.mark.parametrize("taken", ["by the reconciler", "by a claim"])
def test_a_lost_lease(hasty: JobStore, counters: Counters, taken: str) -> None:
    job = running(hasty)

    def claimed() -> bool:
        try:
            return hasty.claim(job.id, "worker-2").attempt == 2
        except NotClaimable:
            return False

    wait_until((lambda: hasty.reclaim(job.id)) if taken == "by the reconciler" else claimed)
    assert counters.read().count("attempts_ended", "lease_lost") == 1


def test_refused_writes(store: JobStore, counters: Counters) -> None:
    job = running(store)
    for write in (
        lambda: store.renew(job.id, 2),
        lambda: store.update(job.id, 2, progress=0.5),
        lambda: store.append_event(job.id, 2, EventKind.LOG, {}),
        lambda: store.use(job.id, 2, USED),
        lambda: store.finish(job.id, 2, None),
        lambda: store.release(job.id, 2, counts=True),
    ):
        with pytest.raises(LeaseLost):
            write()
    seen = counters.read()
    writes = ("renew", "update", "append", "use", "finish", "release")
    assert [seen.count("fencing_refusals", write) for write in writes] == [1] * 6
    assert seen.count("bytes_read") == 0


def test_stages_that_came_to_their_end_are_measured(store: JobStore, counters: Counters) -> None:
    def ended(seen: Snapshot) -> dict[str, int]:
        return {stage: sum(seen.stages(stage).counts) for stage in Stage if sum(seen.stages(stage).counts)}

    job = running(store)
    store.update(job.id, 1, stage=Stage.PLANNING)
    assert ended(counters.read()) == {}
    store.update(job.id, 1, stage=Stage.EXPANDING)
    store.update(job.id, 1, stage=Stage.EXPANDING, progress=0.5)
    assert ended(counters.read()) == {"planning": 1}
    store.release(job.id, 1, counts=False)
    store.claim(job.id, "worker-2")
    store.update(job.id, 2, stage=Stage.COMMITTING)
    store.finish(job.id, 2, RESULT)
    seen = counters.read()
    assert ended(seen) == {"planning": 1, "committing": 1}
    assert seen.stages(Stage.COMMITTING).counts[0] == 1
    assert 0 < seen.stages(Stage.COMMITTING).sum_seconds < 1


@pytest.mark.parametrize("priority", ["high", "normal", "low"])
def test_the_wait_of_a_job_is_measured_whatever_its_priority(
    store: JobStore, counters: Counters, priority: Priority
) -> None:
    job = submit(store, request().model_copy(update={"priority": priority}))
    store.claim(job.id, "worker-1")
    waits = counters.read().queue_waits()
    assert waits.counts[0] == 1
    assert 0 < waits.sum_seconds < 1


def test_what_was_used_counts_once_and_is_shown_while_the_job_runs(store: JobStore, counters: Counters) -> None:
    job = running(store)
    store.use(job.id, 1, USED)
    store.use(job.id, 1, USED)
    store.use(job.id, 1, {**USED, "bytes_read": 150, "gpu_memory_bytes": 5, "gpu_memory_limit_bytes": 9})
    seen = counters.read()
    assert [seen.count(name) for name in ("bytes_read", "bytes_written", "fit_steps")] == [150, 40, 3]
    (working,) = seen.working
    assert (working.worker, working.host_memory_bytes) == ("worker-1", 7)
    assert (working.gpu_memory_bytes, working.gpu_memory_limit_bytes) == (5, 9)
    store.release(job.id, 1, counts=False)
    assert counters.read().working == []
    store.claim(job.id, "worker-2")
    (working,) = counters.read().working
    assert (working.worker, working.gpu_memory_bytes) == ("worker-2", None)
    store.use(job.id, 2, USED)
    assert counters.read().count("bytes_read") == 250


def test_numbers_outlive_the_records(store_with: StoreFactory, valkey: RedisServer) -> None:
    store = store_with(record_retention_seconds=1, idempotency_seconds=1)
    job = running(store)
    store.finish(job.id, 1, RESULT)
    wait_until(lambda: store.forget_ended() == 1)
    seen = Counters(store.keys, valkey.url).read()
    assert seen.by_status[Status.SUCCEEDED] == 0
    assert seen.count("ended", "succeeded") == 1
