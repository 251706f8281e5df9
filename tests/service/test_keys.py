"""API keys in Redis: good at once, in every process, for what they say; refused as soon as they are revoked."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import redis
from starlette.testclient import TestClient
from typer.testing import CliRunner

from service.api_keys import Prefixes, Scope, hash_of
from service.key_store import KeyStore
from service.keyring import MOST_REMEMBERED, REMEMBERED_SECONDS, Keyring
from service.keys_command import app as keys_command
from service.settings import ServiceSettings
from tests.jobs.samples import wait_until
from tests.service.conftest import Body, ClientFactory
from tests.service.keys import api_key, secret_of, sent_by
from tests.service.test_auth import PROTECTED

STRANGER = {"peer": "203.0.113.7", "host": "grow.example"}
NOTHING = Prefixes()


@pytest.fixture
def keys(redis_url: str) -> Iterator[KeyStore]:
    store = KeyStore(redis_url)
    yield store
    store.close()


def bearer(key: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {key}"}


def _refused(client: TestClient, key: str) -> bool:
    return client.get("/jobs", headers=bearer(key)).status_code == 401


def test_a_key_is_good_from_the_moment_it_is_made(client_with: ClientFactory, keys: KeyStore) -> None:
    client = client_with(**STRANGER)
    assert client.get("/jobs").json()["code"] == "not_loopback"
    _, key = keys.create("ada", NOTHING, ("jobs:read",))
    wait_until(lambda: client.get("/jobs").status_code == 401)
    assert client.get("/jobs", headers=bearer(key)).status_code == 200
    assert client.get("/jobs", headers=bearer(key + "x")).status_code == 401


def test_a_revoked_key_is_refused_in_every_process(client_with: ClientFactory, keys: KeyStore) -> None:
    made, key = keys.create("ada", NOTHING, ("jobs:read",))
    clients = [client_with(**STRANGER) for _ in range(3)]
    assert {client.get("/jobs", headers=bearer(key)).status_code for client in clients} == {200}
    keys.revoke(made.id)
    for client in clients:
        wait_until(partial(_refused, client, key))
        assert "revoked" in client.get("/jobs", headers=bearer(key)).json()["detail"]


def test_nothing_is_remembered_for_a_second(redis_url: str, keys: KeyStore) -> None:
    now = 100.0
    ring = Keyring(ServiceSettings(redis_url=redis_url), KeyStore(redis_url), clock=lambda: now)
    made, key = keys.create("ada", NOTHING, ("jobs:read",))
    digest = hash_of(key)
    assert ring.look_up(digest) == ring.remembered(digest) == made
    keys.revoke(made.id)
    assert REMEMBERED_SECONDS < 1
    now += REMEMBERED_SECONDS
    assert ring.remembered(digest) is None
    found = ring.look_up(digest)
    assert found is not None
    assert found.refused_because(datetime.now(UTC)) == "revoked"
    ring.close()


def test_guessing_fills_no_memory(redis_url: str) -> None:
    ring = Keyring(ServiceSettings(redis_url=redis_url), KeyStore(redis_url))
    for number in range(MOST_REMEMBERED + 10):
        assert ring.look_up(f"{number:064x}") is None
    assert len(ring._remembered) <= MOST_REMEMBERED
    ring.close()


def test_the_end_of_the_last_key_opens_nothing(client_with: ClientFactory, keys: KeyStore) -> None:
    made, _ = keys.create("ada", NOTHING, ("jobs:read",))
    keys.revoke(made.id)
    assert client_with().get("/jobs").status_code == 401


def test_a_key_that_has_expired(client_with: ClientFactory, keys: KeyStore) -> None:
    client = client_with(**STRANGER)
    _, key = keys.create("ada", NOTHING, ("jobs:read",), timedelta(seconds=-1))
    response = client.get("/jobs", headers=bearer(key))
    assert (response.status_code, response.json()["code"]) == (401, "unauthorized")
    assert "expired" in response.json()["detail"]
    _, later = keys.create("ada", NOTHING, ("jobs:read",), timedelta(hours=1))
    assert client.get("/jobs", headers=bearer(later)).status_code == 200


def test_redis_holds_hashes_alone(keys: KeyStore, redis_url: str) -> None:
    made, key = keys.create("ada", NOTHING, ("jobs:read",))
    with redis.Redis.from_url(redis_url, decode_responses=True) as client:
        [(digest, text)] = client.hgetall("growth:api_keys").items()
    assert digest == hash_of(key) == made.key_sha256
    assert key not in text
    assert key.removeprefix("grow_") not in text
    assert digest not in repr(made)


@pytest.mark.parametrize(
    ("scopes", "reads", "writes"),
    [
        ((), 403, 403),
        (("jobs:read",), 200, 403),
        (("jobs:write",), 403, 200),
        (("jobs:read", "jobs:write"), 200, 200),
        (("admin",), 200, 200),
    ],
)
def test_scopes(client_with: ClientFactory, keys: KeyStore, scopes: tuple[Scope, ...], reads: int, writes: int) -> None:
    client = client_with(**STRANGER)
    _, key = keys.create("ada", NOTHING, scopes)
    for method, path in PROTECTED:
        response = client.request(method, path, headers=bearer(key), content="{" if method == "POST" else None)
        wanted = reads if method == "GET" or path == "/plan" else writes
        if wanted == 403:
            assert (response.status_code, response.json()["code"]) == (403, "scope_required"), path
        else:
            assert response.status_code in (200, 404, 422), path


def test_who_only_reads_is_not_told_the_secret_of_webhooks(client_with: ClientFactory, keys: KeyStore) -> None:
    client = client_with(**STRANGER)
    _, reads = keys.create("ada", NOTHING, ("jobs:read",))
    _, writes = keys.create("ada", NOTHING, ("jobs:write",))
    assert client.get("/webhook-secret", headers=bearer(reads)).json()["code"] == "scope_required"
    assert client.get("/webhook-secret", headers=bearer(writes)).json()["secret"].startswith("whsec_")


def test_admins_see_every_owners_jobs(client_with: ClientFactory, keys: KeyStore, body: Body, llama: Path) -> None:
    client = client_with(**STRANGER)
    everything = Prefixes(source=(f"file://{llama}",), output=("file:///",))
    _, ada = keys.create("ada", everything, ("jobs:read", "jobs:write"))
    _, ben = keys.create("ben", everything, ("jobs:read", "jobs:write"))
    _, root = keys.create("root", everything, ("admin",))
    path = client.post("/grow", json=body, headers=bearer(ada)).headers["Location"]
    assert client.get(path, headers=bearer(ben)).status_code == 404
    assert client.get(path, headers=bearer(root)).json()["owner"] == "ada"
    owned = {"owner": "ada"}
    assert len(client.get("/jobs", params=owned, headers=bearer(root)).json()["jobs"]) == 1
    assert len(client.get("/jobs", params=owned, headers=bearer(ada)).json()["jobs"]) == 1
    refused = client.get("/jobs", params=owned, headers=bearer(ben))
    assert (refused.status_code, refused.json()["code"]) == (403, "scope_required")
    assert client.get("/jobs", headers=bearer(root)).json()["jobs"] == []
    assert client.post(f"{path}/cancel", headers=bearer(root)).json()["status"] == "cancelled"


def test_two_keys_of_one_owner(client_with: ClientFactory, keys: KeyStore, body: Body, llama: Path) -> None:
    client = client_with(**STRANGER)
    everything = Prefixes(source=(f"file://{llama}",), output=("file:///",))
    (_, old), (_, new) = (keys.create("ada", everything, ("jobs:read", "jobs:write")) for _ in range(2))
    path = client.post("/grow", json=body, headers=bearer(old)).headers["Location"]
    assert client.get(path, headers=bearer(new)).status_code == 200


def test_tokenizers_and_optimizers_have_prefixes_of_their_own(
    client_with: ClientFactory, keys: KeyStore, body: Body, llama: Path, tmp_path: Path
) -> None:
    client = client_with(**STRANGER)
    places = {"source": (f"file://{llama}",), "output": (f"file://{tmp_path}",)}
    _, plain = keys.create("ada", Prefixes(**places), ("jobs:read",))
    _, apart = keys.create("ada", Prefixes(**places, optimizer=(f"file://{tmp_path}/states",)), ("jobs:read",))
    of_source = body | {"source_optimizer": f"file://{llama}/optimizer.safetensors"}
    elsewhere = body | {"source_optimizer": f"file://{tmp_path}/states/optimizer.safetensors"}
    for wanted, key, allowed in [
        (of_source, plain, True),
        (elsewhere, plain, False),
        (of_source, apart, False),
        (elsewhere, apart, True),
    ]:
        refused = client.post("/plan", json=wanted, headers=bearer(key)).json()
        assert (refused["code"] != "prefix_not_allowed") == allowed
        assert refused["field"] == "/source_optimizer"


def test_a_changed_file_of_keys_is_read_again(client_with: ClientFactory, tmp_path: Path) -> None:
    file = tmp_path / "keys.json"
    file.write_text(json.dumps([api_key("ada")]))
    client = client_with(**STRANGER, api_keys_file=file)
    assert client.get("/jobs", headers=sent_by("ada")).status_code == 200
    replaced = tmp_path / "new.json"
    replaced.write_text(json.dumps([api_key("ben")]))
    replaced.replace(file)
    wait_until(lambda: client.get("/jobs", headers=sent_by("ada")).status_code == 401)
    assert client.get("/jobs", headers=sent_by("ben")).status_code == 200


def test_a_file_that_can_no_longer_be_read_changes_nothing(redis_url: str, tmp_path: Path) -> None:
    file = tmp_path / "keys.json"
    file.write_text(json.dumps([api_key("ada")]))
    ring = Keyring(ServiceSettings(redis_url=redis_url, api_keys_file=file), KeyStore(redis_url))
    known = hash_of(secret_of("ada"))
    for content in ("[{", json.dumps([api_key("local")])):
        file.write_text(content)
        assert ring.look_up(known) is not None
    file.unlink()
    assert ring.look_up(known) is not None
    assert ring.in_use()
    file.write_text("[]")
    assert ring.look_up(known) is None
    ring.close()


class TestCommand:
    @pytest.fixture(autouse=True)
    def _redis(self, redis_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("GROW_REDIS_URL", redis_url)
        monkeypatch.setenv("COLUMNS", "200")

    def _run(self, *arguments: str, status: int = 0) -> Any:
        done = CliRunner().invoke(keys_command, arguments)
        assert done.exit_code == status, done.output
        return done

    def test_from_its_making_to_its_end(self, client: TestClient) -> None:
        places = ["--source", "s3://models", "--source", "file:///models", "--output", "s3://grown"]
        key = self._run("create", "ada", *places, "--scope", "jobs:read", "--good-for", "90d").stdout.strip()
        wait_until(lambda: client.get("/jobs").status_code == 401)
        assert client.get("/jobs", headers=bearer(key)).status_code == 200
        shown = self._run("list").stdout
        assert "source: s3://models, file:///models" in shown
        assert key not in shown
        [told] = map(json.loads, self._run("list", "--json").stdout.splitlines())
        assert (told["name"], told["scopes"]) == ("ada", ["jobs:read"])
        assert datetime.fromisoformat(told["expires_at"]) > datetime.now(UTC) + timedelta(days=89)
        assert json.loads(self._run("revoke", told["id"], "--json").stdout)["revoked_at"] is not None
        wait_until(lambda: client.get("/jobs", headers=bearer(key)).status_code == 401)
        assert "revoked" in self._run("list").stdout

    def test_what_it_prints_for_programs_is_the_key_too(self) -> None:
        made = json.loads(self._run("create", "ada", "--json").stdout)
        assert made["key"].startswith("grow_")
        assert made["scopes"] == ["jobs:read", "jobs:write"]
        assert "key_sha256" not in made

    def test_without_a_redis_it_says_where_it_looked(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("GROW_REDIS_URL", "redis://127.0.0.1:1/0")
        assert "GROW_REDIS_URL names the Redis of the service" in self._run("list", status=5).stderr

    @pytest.mark.parametrize(
        ("arguments", "said"),
        [
            (["create", "local"], "choose another name"),
            (["create", "two words"], "name"),
            (["create", "ada", "--source", "http://x"], "names no storage"),
            (["create", "ada", "--scope", "everything"], "scopes"),
            (["create", "ada", "--good-for", "soon"], "90d"),
            (["revoke", "key-0"], "grow keys list"),
        ],
    )
    def test_what_it_refuses(self, arguments: list[str], said: str) -> None:
        refused = self._run(*arguments, status=2)
        assert said in refused.stderr
        assert "Traceback" not in refused.output
