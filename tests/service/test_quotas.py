"""A key's quotas over HTTP: 429, and when to ask again."""

from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from jobs.store import JobStore
from tests.service.conftest import Body, ClientFactory
from tests.service.keys import api_key, sent_by


def _client(client_with: ClientFactory, llama: Path, **quotas: int) -> TestClient:
    prefixes = {"source": [f"file://{llama}"], "output": ["file:///"]}
    return client_with(api_keys=[api_key("ada", **prefixes) | {"quotas": quotas}, api_key("ben", **prefixes)])


def _submit(client: TestClient, body: Body, number: int, owner: str = "ada") -> Any:
    wanted = body | {"output": f"{body['output']}-{owner}-{number}"}
    return client.post("/grow", json=wanted, headers=sent_by(owner))


@pytest.mark.parametrize("kind", ["queued", "bytes"])
def test_a_request_too_many(client: TestClient, client_with: ClientFactory, body: Body, llama: Path, kind: str) -> None:
    planned = client.post("/plan", json=body).json()["target"]["weight_bytes"]
    client = _client(client_with, llama, **{kind: 2 if kind == "queued" else 2 * planned})
    first, second, last = (_submit(client, body, number) for number in range(3))
    assert (first.status_code, second.status_code) == (202, 202)
    assert (last.status_code, last.json()["code"]) == (429, "quota_exceeded")
    assert last.headers["Content-Type"] == "application/problem+json"
    assert 1 <= int(last.headers["Retry-After"]) <= 300
    assert _submit(client, body, 0, "ben").status_code == 202
    client.post(f"{first.headers['Location']}/cancel", headers=sent_by("ada"))
    assert _submit(client, body, 9).status_code == 202


def test_a_retry_counts_too(client_with: ClientFactory, body: Body, llama: Path, store: JobStore) -> None:
    client = _client(client_with, llama, queued=1)
    path = _submit(client, body, 0).headers["Location"]
    client.post(f"{path}/cancel", headers=sent_by("ada"))
    assert _submit(client, body, 1).status_code == 202
    refused = client.post(f"{path}/retry", headers=sent_by("ada"))
    assert (refused.status_code, refused.json()["code"]) == (429, "quota_exceeded")
    assert "Retry-After" in refused.headers
    assert client.get(path, headers=sent_by("ada")).json()["retried_by"] is None
