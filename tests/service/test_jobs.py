"""Listing, reading and cancelling jobs."""

import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from jobs.schema import Failure, Job, Result, Stage
from jobs.store import JobStore
from tests.jobs.samples import FAILURE, RESULT
from tests.service.conftest import Body

Submit = Callable[..., Job]


@pytest.fixture
def submit(client: TestClient, body: Body, tmp_path: Path) -> Submit:
    """Submits a job with an output of its own."""

    def submit(**changes: object) -> Job:
        output = f"file://{tmp_path}/{time.monotonic_ns()}"
        return Job.model_validate(client.post("/grow", json={**body, "output": output, **changes}).json())

    return submit


def _ids(client: TestClient, **params: object) -> list[str]:
    response = client.get("/jobs", params={name: str(value) for name, value in params.items()})
    assert response.status_code == 200, response.text
    return [job["id"] for job in response.json()["jobs"]]


def test_newest_first_page_by_page(client: TestClient, submit: Submit) -> None:
    ids = [submit().id for _ in range(5)][::-1]
    assert _ids(client) == ids
    found, cursor = [], None
    while True:
        page = client.get("/jobs", params={"limit": 2, **({"cursor": cursor} if cursor else {})}).json()
        found += [job["id"] for job in page["jobs"]]
        cursor = page["next_cursor"]
        if cursor is None:
            break
        # A job that comes in between does not shift the pages.
        submit()
    assert found == ids


def test_filters(client: TestClient, submit: Submit, store: JobStore) -> None:
    first = submit(labels={"team": "nlp", "run": "a=b"})
    second = submit(method="lemon", labels={"team": "nlp"})
    store.claim(first.id, "worker")
    assert _ids(client, status="running") == [first.id]
    assert _ids(client, status="queued", method="lemon") == [second.id]
    assert _ids(client, method="hypercloning") == [first.id]
    assert _ids(client, label="team=nlp") == [second.id, first.id]
    assert _ids(client, label="run=a=b") == [first.id]
    assert _ids(client, label="team=vision") == []
    both = client.get("/jobs", params=[("label", "team=nlp"), ("label", "run=a=b")])
    assert [job["id"] for job in both.json()["jobs"]] == [first.id]
    assert _ids(client, created_from=second.created_at.isoformat()) == [second.id]
    assert _ids(client, created_before=second.created_at.isoformat()) == [first.id]
    assert _ids(client, created_from=(datetime.now(UTC) + timedelta(hours=1)).isoformat()) == []


@pytest.mark.parametrize(
    ("params", "code"),
    [
        ({"cursor": "job-1"}, "invalid_cursor"),
        ({"limit": "0"}, "invalid_request"),
        ({"limit": "1000"}, "invalid_request"),
        ({"status": "sleeping"}, "invalid_request"),
        ({"label": "team"}, "invalid_request"),
        ({"created_from": "2026-01-01T00:00:00"}, "invalid_request"),
        ({"created_from": "yesterday"}, "invalid_request"),
        ({"created_before": "-31872.5"}, "invalid_request"),
        ({"created_before": "1.5e-273"}, "invalid_request"),
    ],
)
def test_queries_that_can_not_be_used(client: TestClient, params: dict[str, str], code: str) -> None:
    response = client.get("/jobs", params=params)
    assert (response.status_code, response.json()["code"]) == (422, code)
    assert "field" not in response.json()
    if code == "invalid_request":
        assert f"'{next(iter(params))}'" in response.json()["detail"]


def test_etag_moves_with_the_job(client: TestClient, submit: Submit, store: JobStore) -> None:
    path = f"/jobs/{submit().id}"
    first = client.get(path)
    tag = first.headers["ETag"]
    same = client.get(path, headers={"If-None-Match": tag})
    assert (same.status_code, same.content, same.headers["ETag"]) == (304, b"", tag)
    for header in (f"W/{tag}", f'"other", {tag}', "*"):
        assert client.get(path, headers={"If-None-Match": header}).status_code == 304
    attempt = store.claim(first.json()["id"], "worker").attempt
    changed = client.get(path, headers={"If-None-Match": tag})
    assert (changed.status_code, changed.json()["status"]) == (200, "running")
    store.update(first.json()["id"], attempt, stage=Stage.EXPANDING, progress=0.5)
    again = client.get(path, headers={"If-None-Match": changed.headers["ETag"]})
    assert (again.status_code, again.json()["progress"]) == (200, 0.5)


def test_etag_moves_with_the_place_in_the_queue(client: TestClient, submit: Submit, store: JobStore) -> None:
    ahead, behind = submit(), submit()
    path = f"/jobs/{behind.id}"
    tag = client.get(path).headers["ETag"]
    store.claim(ahead.id, "worker")
    moved = client.get(path, headers={"If-None-Match": tag})
    assert (moved.status_code, moved.json()["queue_position"]) == (200, 0)


def test_ended_jobs_tell_how(client: TestClient, submit: Submit, store: JobStore) -> None:
    endings: list[tuple[Result | Failure | None, str]] = [
        (RESULT, "succeeded"),
        (FAILURE, "failed"),
        (None, "cancelled"),
    ]
    for outcome, status in endings:
        job_id = submit().id
        store.finish(job_id, store.claim(job_id, "worker").attempt, outcome)
        job = Job.model_validate(client.get(f"/jobs/{job_id}").json())
        assert (job.status, job.finished_at is not None) == (status, True)
        assert outcome in (job.result, job.error)


def test_cancel_is_idempotent(client: TestClient, submit: Submit, store: JobStore) -> None:
    queued, running, ended = submit().id, submit().id, submit().id
    store.claim(running, "worker")
    store.finish(ended, store.claim(ended, "worker").attempt, RESULT)
    for _ in range(2):
        assert client.post(f"/jobs/{queued}/cancel").json()["status"] == "cancelled"
        asked = client.post(f"/jobs/{running}/cancel").json()
        assert (asked["status"], asked["cancel_requested"]) == ("running", True)
        assert client.post(f"/jobs/{ended}/cancel").json()["status"] == "succeeded"


@pytest.mark.parametrize("job_id", ["job-0", "job-00064a1b2c3d4e-0123456789", "*", "..%2f..", "%00", "%ff", "é"])
def test_jobs_that_are_not_there(client: TestClient, job_id: str) -> None:
    for method, more in [("GET", ""), ("POST", "/cancel"), ("GET", "/events")]:
        response = client.request(method, f"/jobs/{job_id}{more}")
        assert response.status_code == 404
        assert response.json()["code"] in ("job_not_found", "no_such_path")


def test_events_page_by_page(client: TestClient, submit: Submit, store: JobStore) -> None:
    job_id = submit().id
    attempt = store.claim(job_id, "worker").attempt
    store.update(job_id, attempt, stage=Stage.EXPANDING, progress=0.25)
    path = f"/jobs/{job_id}/events"
    whole = client.get(path).json()
    kinds = [event["kind"] for event in whole["events"]]
    assert kinds == ["status", "status", "stage"]
    assert whole["next_cursor"] is None
    first = client.get(path, params={"limit": 1}).json()
    assert first["events"] == whole["events"][:1]
    assert client.get(path, params={"after": first["next_cursor"]}).json()["events"] == whole["events"][1:]
    last = whole["events"][-1]["id"]
    assert client.get(path, headers={"Last-Event-ID": last}).json()["events"] == []
    refused = client.get(path, params={"after": "yesterday"})
    assert (refused.status_code, refused.json()["code"]) == (422, "invalid_cursor")
