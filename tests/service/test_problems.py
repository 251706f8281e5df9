"""The edge table: every exception has a problem, and nothing else gets out."""

import inspect
import json
from pathlib import Path
from types import ModuleType

import pytest
import redis
from starlette.testclient import TestClient

import growth.errors
import jobs.errors
import service.errors
from service.problems import EDGES
from tests.servers import valkey_server
from tests.service.conftest import Body, ClientFactory

WORKERS_OWN = {"LeaseLost", "NotClaimable"}
"""Only who holds a job meets these."""


@pytest.mark.parametrize("module", [growth.errors, jobs.errors, service.errors])
def test_every_exception_is_in_the_table(module: ModuleType) -> None:
    kinds = [kind for _, kind in inspect.getmembers(module, inspect.isclass) if kind.__module__ == module.__name__]
    assert kinds
    leaves = [kind for kind in kinds if not kind.__subclasses__() and kind.__name__ not in WORKERS_OWN]
    assert [kind for kind in leaves if not EDGES.keys() & set(kind.__mro__)] == []


@pytest.mark.parametrize("length_told", [True, False])
def test_body_that_is_too_large(client: TestClient, length_told: bool) -> None:
    content = json.dumps({"source": "x" * (1 << 20)}).encode()
    chunks = (content[start : start + 65_536] for start in range(0, len(content), 65_536))
    response = client.post(
        "/grow", content=content if length_told else chunks, headers={"Content-Type": "application/json"}
    )
    assert (response.status_code, response.json()["code"]) == (413, "body_too_large")
    assert response.headers["Content-Type"] == "application/problem+json"


def test_body_just_below_the_limit(client: TestClient) -> None:
    response = client.post("/grow", json={"source": "x" * ((1 << 20) - 100)})
    assert (response.status_code, response.json()["code"]) == (422, "invalid_request")
    assert len(response.content) < 1000


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", "/nothing", 404, "no_such_path"),
        ("GET", "/jobs/", 404, "no_such_path"),
        ("DELETE", "/jobs", 405, "method_not_allowed"),
        ("GET", "/grow", 405, "method_not_allowed"),
    ],
)
def test_paths_that_are_not_there(client: TestClient, method: str, path: str, status: int, code: str) -> None:
    response = client.request(method, path)
    assert (response.status_code, response.json()["code"]) == (status, code)
    assert response.headers["Content-Type"] == "application/problem+json"
    assert ("Allow" in response.headers) == (status == 405)


def test_json_under_another_name_is_refused(client: TestClient, body: Body) -> None:
    # A page of another site may send text without asking, but not JSON.
    for headers in ({"Content-Type": "text/plain"}, {}):
        response = client.post("/grow", content=json.dumps(body), headers=headers)
        assert (response.status_code, response.json()["code"]) == (422, "invalid_request")
        assert "Content-Type" in response.json()["hint"]


def test_failures_of_our_own_say_nothing(client: TestClient, body: Body, redis_url: str) -> None:
    job_id = client.post("/grow", json=body).json()["id"]
    with redis.Redis.from_url(redis_url) as raw:
        raw.hset(f"growth:job:{job_id}", "plan", "secret plan")
    response = client.get(f"/jobs/{job_id}", headers={"X-Request-ID": "here-1"})
    assert response.status_code == 500
    assert response.headers["X-Request-ID"] == "here-1"
    assert response.headers["Content-Type"] == "application/problem+json"
    problem = response.json()
    assert problem["code"] == "internal_error"
    assert "here-1" in problem["hint"]
    assert "secret" not in response.text
    assert "validation" not in response.text


def test_redis_that_is_gone_is_a_503(client_with: ClientFactory, body: Body, tmp_path: Path) -> None:
    with valkey_server(tmp_path / "valkey") as server:
        client = client_with(redis_url=server.url)
        job_id = client.post("/grow", json=body).json()["id"]
        ready = client.get("/readyz")
        assert (ready.status_code, ready.json()) == (200, {"status": "ready", "warnings": []})
    for method, path in [
        ("GET", "/readyz"),
        ("POST", "/grow"),
        ("GET", "/jobs"),
        ("GET", f"/jobs/{job_id}?wait=5"),
        ("GET", f"/jobs/{job_id}/events"),
    ]:
        response = client.request(method, path, json=body if method == "POST" else None)
        assert (response.status_code, response.json()["code"]) == (503, "store_unavailable"), path
        assert int(response.headers["Retry-After"]) > 0
        assert str(server.port) not in response.text
    assert client.get("/healthz").json() == {"status": "ok"}
    assert client.post("/plan", json=body).status_code == 200


def test_redis_that_may_lose_records_is_told(client_with: ClientFactory, tmp_path: Path) -> None:
    with valkey_server(tmp_path / "valkey", aof=False) as server:
        warnings = client_with(redis_url=server.url).get("/readyz").json()["warnings"]
        assert any("appendonly" in warning for warning in warnings)
