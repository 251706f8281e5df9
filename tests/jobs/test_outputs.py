"""An output belongs to one live job, with everything inside of it and around it."""

from concurrent.futures import ThreadPoolExecutor

import pytest

from jobs.errors import OutputReserved
from jobs.schema import Failure, Result
from jobs.store import JobStore
from tests.jobs.samples import FAILURE, PLAN, RESULT, request, submit

TAKEN = "s3://models/team/grown"


@pytest.mark.parametrize(
    "output",
    [
        TAKEN,
        TAKEN + "/",
        TAKEN + "//",
        TAKEN + "/v2",
        TAKEN + "/a/b/c/",
        "s3://models/team",
        "s3://models/team/",
        "s3://models",
    ],
)
@pytest.mark.parametrize("slash", ["", "/"])
def test_overlapping_outputs_are_refused(store: JobStore, output: str, slash: str) -> None:
    holder = submit(store, request(TAKEN + slash))
    with pytest.raises(OutputReserved, match=f"{output} overlaps with {TAKEN}/, which another live job") as refusal:
        submit(store, request(output), owner="ben")
    assert (refusal.value.output, refusal.value.job_id) == (TAKEN + "/", holder.id)
    assert store.list_jobs().jobs == [store.get(holder.id)]


@pytest.mark.parametrize(
    "output",
    [
        TAKEN + "2",
        TAKEN + "-v2",
        TAKEN + " (copy)".replace(" ", "!"),
        TAKEN[:-1],
        "s3://models/team/grow/n",
        "s3://models2/team/grown",
        "file:///models/team/grown",
        "file:///",
    ],
)
def test_outputs_beside_it_are_free(store: JobStore, output: str) -> None:
    submit(store, request(TAKEN))
    submit(store, request(output))


def test_the_root_folder_contains_every_file(store: JobStore) -> None:
    submit(store, request("file:///tmp/grown"))
    with pytest.raises(OutputReserved):
        submit(store, request("file:///"))


def test_a_refused_request_leaves_its_key_unused(store: JobStore) -> None:
    holder = submit(store, request(TAKEN))
    with pytest.raises(OutputReserved):
        store.create(request(TAKEN), PLAN, "ada", "key-1")
    store.request_cancel(holder.id)
    assert store.create(request(TAKEN), PLAN, "ada", "key-1")[1] is False


@pytest.mark.parametrize("outcome", [RESULT, FAILURE, None])
def test_the_end_of_a_job_frees_its_output(store: JobStore, outcome: Result | Failure | None) -> None:
    job = submit(store, request(TAKEN))
    store.claim(job.id, "worker-1")
    store.finish(job.id, 1, outcome)
    submit(store, request(TAKEN))


def test_a_job_that_goes_back_keeps_its_output(store: JobStore) -> None:
    job = submit(store, request(TAKEN))
    store.claim(job.id, "worker-1")
    store.release(job.id, 1, counts=True)
    with pytest.raises(OutputReserved):
        submit(store, request(TAKEN))


def test_of_many_requests_at_once_one_gets_the_output(store: JobStore) -> None:
    outputs = [TAKEN, TAKEN + "/inside", "s3://models/team"] * 8

    def wins(output: str) -> bool:
        try:
            submit(store, request(output))
        except OutputReserved:
            return False
        return True

    with ThreadPoolExecutor(16) as threads:
        winners = [output for output, won in zip(outputs, threads.map(wins, outputs), strict=True) if won]
    assert len(winners) == 1
