"""The same key and body make one job, at any time; the same key with another body is refused."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from jobs.store import JobStore
from tests.jobs.samples import RESULT
from tests.service.conftest import Body, ClientFactory
from tests.service.keys import api_key, sent_by

KEY = {"Idempotency-Key": "order-7"}


def test_same_key_and_body(client: TestClient, body: Body, store: JobStore) -> None:
    first, second = client.post("/grow", json=body, headers=KEY), client.post("/grow", json=body, headers=KEY)
    assert (first.status_code, second.status_code) == (202, 202)
    assert first.json()["id"] == second.json()["id"]
    assert "Idempotency-Replayed" not in first.headers
    assert second.headers["Idempotency-Replayed"] == "true"
    assert second.headers["Location"] == first.headers["Location"]
    assert len(store.list_jobs().jobs) == 1


def test_bodies_that_mean_the_same(client: TestClient, body: Body) -> None:
    first = client.post("/grow", json=body, headers=KEY).json()
    reordered = dict(reversed(body.items())) | {"method": {"name": "hypercloning"}, "seed": 0}
    assert client.post("/grow", json=reordered, headers=KEY).json()["id"] == first["id"]


def test_another_body(client: TestClient, body: Body, store: JobStore) -> None:
    client.post("/grow", json=body, headers=KEY)
    response = client.post("/grow", json=body | {"seed": 1}, headers=KEY)
    assert (response.status_code, response.json()["code"]) == (422, "idempotency_conflict")
    assert len(store.list_jobs().jobs) == 1


def test_replay_of_a_finished_job_whose_output_and_source_have_moved_on(
    client: TestClient, body: Body, store: JobStore, output: Path
) -> None:
    job_id = client.post("/grow", json=body, headers=KEY).json()["id"]
    output.mkdir()
    (output / "config.json").write_text("{}")
    store.finish(job_id, store.claim(job_id, "worker").attempt, RESULT)
    response = client.post("/grow", json=body, headers=KEY)
    assert (response.status_code, response.json()["id"]) == (202, job_id)
    assert response.json()["status"] == "succeeded"
    assert client.post("/grow", json=body).json()["code"] == "output_exists"


def test_keys_belong_to_their_owner(client_with: ClientFactory, body: Body, llama: Path, tmp_path: Path) -> None:
    prefixes = {"source": [f"file://{llama}"], "output": [f"file://{tmp_path}"]}
    client = client_with(api_keys=[api_key("ada", **prefixes), api_key("bob", **prefixes)])
    first = client.post("/grow", json=body, headers=KEY | sent_by("ada"))
    second = client.post("/grow", json=body | {"output": f"file://{tmp_path}/b"}, headers=KEY | sent_by("bob"))
    assert (first.status_code, second.status_code) == (202, 202)
    assert first.json()["id"] != second.json()["id"]


def test_refused_requests_do_not_use_up_a_key(client: TestClient, body: Body) -> None:
    assert client.post("/grow", json=body | {"method": "ligo"}, headers=KEY).status_code == 422
    assert client.post("/grow", json=body, headers=KEY).status_code == 202


def test_many_at_once_make_one_job(client: TestClient, body: Body, store: JobStore) -> None:
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: client.post("/grow", json=body, headers=KEY), range(16)))
    assert {answer.status_code for answer in answers} == {202}
    assert len({answer.json()["id"] for answer in answers}) == 1
    assert sum("Idempotency-Replayed" not in answer.headers for answer in answers) == 1
    assert len(store.list_jobs().jobs) == 1


@pytest.mark.parametrize("key", ["", "two words", "x" * 256])
def test_keys_that_can_not_be_used(client: TestClient, body: Body, key: str) -> None:
    response = client.post("/grow", json=body, headers={"Idempotency-Key": key})
    assert (response.status_code, response.json()["code"]) == (422, "invalid_request")
    assert "Idempotency-Key" in response.json()["detail"]
