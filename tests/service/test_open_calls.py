"""Streams and long polls end with the key that opened them, however it ends; those of others go on."""

import json
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx2
import pytest

from jobs.store import JobStore
from service.api_keys import Prefixes, Scope
from service.app import create_app
from service.key_store import KeyStore
from service.keyring import REMEMBERED_SECONDS
from service.open_calls import LOOK_SECONDS
from service.settings import ServiceSettings
from tests.jobs.samples import submit
from tests.service.keys import api_key, secret_of
from tests.service.live import serving
from tests.service.provider import AUDIENCE, ISSUER, Provider, serving_keys

SECONDS = 50.0
"""On a machine that has much else to do; a stream that does not end would be silent for longer."""
READS: tuple[Scope, ...] = ("jobs:read",)
Serve = Callable[..., httpx2.Client]


@pytest.fixture
def keys(redis_url: str) -> Iterator[KeyStore]:
    store = KeyStore(redis_url)
    yield store
    store.close()


@pytest.fixture
def job_id(store: JobStore) -> str:
    """A job of ada's that nobody works on, so that its stream has no end of its own."""
    return submit(store, owner="ada").id


@pytest.fixture
def serve(redis_url: str) -> Iterator[Serve]:
    with ExitStack() as running:

        def start(**settings: Any) -> httpx2.Client:
            url = running.enter_context(serving(create_app(ServiceSettings(redis_url=redis_url, **settings))))
            return running.enter_context(httpx2.Client(base_url=url, timeout=SECONDS))

        yield start


def bearer(key: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {key}"}


class Held:
    """A stream and a long poll of one caller, both open."""

    def __init__(self, client: httpx2.Client, job_id: str, headers: dict[str, str], pool: ThreadPoolExecutor) -> None:
        sent = {**headers, "Accept": "text/event-stream"}
        request = client.build_request("GET", f"/jobs/{job_id}/events", headers=sent)
        self.stream = client.send(request, stream=True)
        assert self.stream.status_code == 200
        self.lines = self.stream.iter_lines()
        next(self.lines)
        self.poll = pool.submit(client.get, f"/jobs/{job_id}", params={"wait": 60}, headers=headers)

    def end(self) -> httpx2.Response:
        """The long poll's answer, once the stream has ended too; within the client's time limit."""
        list(self.lines)
        return self.poll.result(SECONDS)


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor() as pool:
        yield pool


def test_less_than_a_second_goes_by() -> None:
    assert LOOK_SECONDS + REMEMBERED_SECONDS < 0.9


def test_a_key_that_is_revoked(serve: Serve, keys: KeyStore, job_id: str, pool: ThreadPoolExecutor) -> None:
    client = serve()
    (made, revoked), (_, other) = (keys.create("ada", Prefixes(), READS) for _ in range(2))
    held, stays = (Held(client, job_id, bearer(key), pool) for key in (revoked, other))
    keys.revoke(made.id)
    answer = held.end()
    assert (answer.status_code, answer.json()["code"]) == (401, "unauthorized")
    assert "revoked" in answer.json()["detail"]
    assert not stays.poll.done()
    assert client.post(f"/jobs/{job_id}/cancel", headers=bearer(other)).status_code == 403
    keys_of_ada = [key.id for key in keys.list() if key.revoked_at is None]
    for key_id in keys_of_ada:
        keys.revoke(key_id)
    assert stays.end().status_code == 401


def test_a_key_that_expires(serve: Serve, keys: KeyStore, job_id: str, pool: ThreadPoolExecutor) -> None:
    made, key = keys.create("ada", Prefixes(), READS, timedelta(hours=1))
    held = Held(serve(), job_id, bearer(key), pool)
    # Its hour is over.
    keys._put(made.model_copy(update={"expires_at": made.created_at}))
    answer = held.end()
    assert answer.status_code == 401
    assert "expired" in answer.json()["detail"]


def test_a_key_of_a_file_that_loses_a_scope_or_its_name(
    serve: Serve, tmp_path: Path, job_id: str, pool: ThreadPoolExecutor
) -> None:
    file = tmp_path / "keys.json"
    changes: list[dict[str, Any]] = [{"scopes": []}, {"name": "ben"}]
    for change in changes:
        file.write_text(json.dumps([api_key("ada")]))
        held = Held(serve(api_keys_file=file), job_id, bearer(secret_of("ada")), pool)
        file.write_text(json.dumps([api_key("ada") | change]))
        assert "no longer allows" in held.end().json()["detail"]


def test_a_token_that_expires(serve: Serve, store: JobStore, pool: ThreadPoolExecutor) -> None:
    provider, job = Provider(), submit(store, owner="oidc:ada")
    with serving_keys(provider) as url:
        oidc = {"issuer": ISSUER, "audience": AUDIENCE, "jwks_url": url, "clock_skew_seconds": 0, "prefixes": {}}
        client = serve(oidc=oidc)
        answer = Held(client, job.id, bearer(provider.sign(exp=int(time.time()) + 8)), pool).end()
    assert answer.status_code == 401
    assert "expired" in answer.json()["detail"]


def test_the_first_key_of_a_service_ends_what_was_opened_without(
    serve: Serve, store: JobStore, keys: KeyStore, pool: ThreadPoolExecutor
) -> None:
    job = submit(store, owner="local")
    held = Held(serve(), job.id, {}, pool)
    keys.create("ada", Prefixes(), READS)
    assert held.end().status_code == 401


def test_what_clients_leave_is_looked_after_no_more(redis_url: str, keys: KeyStore, job_id: str) -> None:
    _, key = keys.create("ada", Prefixes(), READS)
    app = create_app(ServiceSettings(redis_url=redis_url))
    with serving(app) as url, httpx2.Client(base_url=url) as client:
        for _ in range(2):
            client.get(f"/jobs/{job_id}", params={"wait": 1}, headers=bearer(key))
        deadline = time.monotonic() + SECONDS
        while app.state.parts.open_calls.watched:
            assert time.monotonic() < deadline
            time.sleep(0.02)
