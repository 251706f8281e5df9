"""One line for each request, with its id and its job; no secret, no query, no body."""

from pathlib import Path

import pytest
from starlette.testclient import TestClient
from structlog.testing import capture_logs

from tests.service.conftest import Body, ClientFactory
from tests.service.keys import api_key, secret_of, sent_by


def test_line_of_a_request(client: TestClient, body: Body) -> None:
    job_id = client.post("/grow", json=body).json()["id"]
    with capture_logs() as lines:
        client.get(f"/jobs/{job_id}?wait=0")
    (line,) = lines
    assert line.pop("seconds") >= 0
    assert line == {
        "event": "request",
        "log_level": "info",
        "method": "GET",
        "path": f"/jobs/{job_id}",
        "status": 200,
        "owner": "local",
        "job_id": job_id,
    }


def test_submission_names_its_job(client: TestClient, body: Body) -> None:
    with capture_logs() as lines:
        job_id = client.post("/grow", json=body).json()["id"]
    assert [(line["event"], line["job_id"]) for line in lines] == [("request", job_id)]


@pytest.mark.parametrize("given", [None, "", "a b", "x" * 129, "é"])
def test_request_id_is_made_where_none_can_be_used(client: TestClient, given: str | None) -> None:
    headers = {} if given is None else {b"X-Request-ID": given.encode()}
    made = client.get("/healthz", headers=headers).headers["X-Request-ID"]
    assert len(made) == 32
    assert made != given


def test_request_id_of_the_client_is_kept(client: TestClient) -> None:
    for path in ("/healthz", "/nothing", "/jobs/job-1"):
        assert client.get(path, headers={"X-Request-ID": "ci-17.a"}).headers["X-Request-ID"] == "ci-17.a"


def test_the_job_keeps_the_request_id(client: TestClient, body: Body) -> None:
    job = client.post("/grow", json=body, headers={"X-Request-ID": "ci-17.a"}).json()
    assert job["request_id"] == "ci-17.a"
    replay = {"Idempotency-Key": "one", "X-Request-ID": "first"}
    body = {**body, "output": f"{body['output']}-2"}
    client.post("/grow", json=body, headers=replay)
    assert client.post("/grow", json=body, headers={**replay, "X-Request-ID": "second"}).json()["request_id"] == "first"


def test_secrets_stay_out(client_with: ClientFactory, body: Body, llama: Path) -> None:
    client = client_with(
        api_keys=[api_key("ada", source=[f"file://{llama}"])],
        s3_access_key_id="key-id",
        s3_secret_access_key="very-secret",
    )
    with capture_logs() as lines:
        client.get("/jobs?label=token%3Dhidden", headers=sent_by("ada"))
        client.get("/jobs", headers={"Authorization": "Bearer wrong-key"})
        client.post("/grow", json=body, headers=sent_by("ada"))
    text = str(lines)
    assert len(lines) == 3
    for secret in (secret_of("ada"), "wrong-key", "very-secret", "hidden", body["output"]):
        assert secret not in text
