"""A job that ended without a result, tried again: as one new job, however often it is asked for."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from jobs.schema import Failure, Result
from jobs.store import JobStore
from tests.jobs.samples import FAILURE, RESULT
from tests.service.conftest import Body


@pytest.fixture
def failed(client: TestClient, body: Body, store: JobStore) -> str:
    """The path of a job that failed."""
    return _ended(client, body, store, FAILURE)


def _ended(client: TestClient, body: Body, store: JobStore, outcome: Result | Failure | None) -> str:
    job_id = client.post("/grow", json=body).json()["id"]
    store.finish(job_id, store.claim(job_id, "worker").attempt, outcome)
    return f"/jobs/{job_id}"


@pytest.mark.parametrize("outcome", [FAILURE, None], ids=["failed", "cancelled"])
def test_a_new_job_with_the_same_request(
    client: TestClient, body: Body, store: JobStore, outcome: Failure | None
) -> None:
    path = _ended(client, body, store, outcome)
    before = client.get(path)
    response = client.post(f"{path}/retry")
    assert response.status_code == 202, response.text
    job, former = response.json(), client.get(path).json()
    assert response.headers["Location"] == f"/jobs/{job['id']}"
    assert "Idempotency-Replayed" not in response.headers
    assert (job["status"], job["attempt"], job["request"]) == ("queued", 0, former["request"])
    assert (job["retry_of"], former["retried_by"]) == (former["id"], job["id"])
    assert former["status"] == before.json()["status"]
    assert client.get(path, headers={"If-None-Match": before.headers["ETag"]}).status_code == 200
    assert client.get(f"{path}/events").json()["events"][-1]["data"] == {"job": job["id"]}
    assert store.claim(job["id"], "worker").attempt == 1


def test_asked_again_it_is_the_same_job_whatever_became_of_it(client: TestClient, store: JobStore, failed: str) -> None:
    first = client.post(f"{failed}/retry").json()["id"]
    store.finish(first, store.claim(first, "worker").attempt, RESULT)
    again = client.post(f"{failed}/retry")
    assert (again.status_code, again.json()["id"], again.json()["status"]) == (202, first, "succeeded")
    assert again.headers["Idempotency-Replayed"] == "true"


def test_many_at_once_make_one_job(client: TestClient, store: JobStore, failed: str) -> None:
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: client.post(f"{failed}/retry"), range(16)))
    assert {answer.status_code for answer in answers} == {202}
    assert len({answer.json()["id"] for answer in answers}) == 1
    assert sum("Idempotency-Replayed" not in answer.headers for answer in answers) == 1
    assert len(store.list_jobs().jobs) == 2


def test_a_retry_that_failed_is_tried_again_itself(client: TestClient, store: JobStore, failed: str) -> None:
    first = client.post(f"{failed}/retry").json()["id"]
    store.finish(first, store.claim(first, "worker").attempt, FAILURE)
    second = client.post(f"/jobs/{first}/retry").json()
    assert second["retry_of"] == first


@pytest.mark.parametrize("state", ["queued", "running", "succeeded"])
def test_what_can_not_be_tried_again(client: TestClient, body: Body, store: JobStore, state: str) -> None:
    job_id = client.post("/grow", json=body).json()["id"]
    if state != "queued":
        store.claim(job_id, "worker")
    if state == "succeeded":
        store.finish(job_id, 1, RESULT)
    response = client.post(f"/jobs/{job_id}/retry")
    assert (response.status_code, response.json()["code"]) == (409, "not_retryable")
    assert state in response.json()["detail"]


def test_the_checks_are_those_of_a_new_request(client: TestClient, failed: str, output: Path) -> None:
    output.mkdir()
    (output / "config.json").write_text("{}")
    response = client.post(f"{failed}/retry")
    assert (response.status_code, response.json()["code"]) == (409, "output_exists")
    assert client.get(failed).json()["retried_by"] is None
    (output / "config.json").unlink()
    assert client.post(f"{failed}/retry").status_code == 202


def test_a_job_that_is_not_there(client: TestClient) -> None:
    response = client.post("/jobs/job-00064a1b2c3d4e-0123456789/retry")
    assert (response.status_code, response.json()["code"]) == (404, "job_not_found")
