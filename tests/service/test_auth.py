"""Who may call, and what they may name."""

import json
from pathlib import Path

import pytest
from pydantic import ValidationError
from starlette.testclient import TestClient

from service.app import create_app
from service.settings import ServiceSettings
from tests.service.conftest import Body, ClientFactory
from tests.service.keys import api_key, secret_of, sent_by

PROTECTED = [
    ("POST", "/grow"),
    ("POST", "/plan"),
    ("GET", "/jobs"),
    ("GET", "/jobs/job-1"),
    ("POST", "/jobs/job-1/cancel"),
    ("POST", "/jobs/job-1/retry"),
    ("GET", "/jobs/job-1/events"),
    ("POST", "/jobs/job-1/webhook"),
    ("POST", "/webhook-secret"),
    ("GET", "/methods"),
    ("GET", "/architectures"),
]
PUBLIC = ["/healthz", "/readyz", "/openapi.json"]


@pytest.fixture
def keyed(client_with: ClientFactory, llama: Path, tmp_path: Path) -> TestClient:
    """Two clients' keys; a caller from elsewhere, because keys are good for any network."""
    everything = {
        "source": [f"file://{llama.parent}"],
        "data": ["s3://corpora/wiki"],
        "output": [f"file://{tmp_path}/ada"],
    }
    keys = [api_key("ada", **everything), api_key("bob")]
    return client_with(peer="203.0.113.7", host="grow.example", api_keys=keys)


@pytest.mark.parametrize(
    "header",
    [
        None,
        "",
        "Bearer",
        "Bearer ",
        "Bearer wrong",
        f"Basic {secret_of('ada')}",
        secret_of("ada"),
        f"Bearer {secret_of('ada')}x",
    ],
)
def test_unknown_keys(keyed: TestClient, header: str | None) -> None:
    headers = {} if header is None else {"Authorization": header}
    for method, path in PROTECTED:
        # The body is not JSON: who is not known is refused before anything else is looked at.
        response = keyed.request(method, path, headers=headers, content="{" if method == "POST" else None)
        assert response.status_code == 401, path
        assert response.json()["code"] == "unauthorized"
        assert response.headers["WWW-Authenticate"] == "Bearer"
        assert secret_of("ada") not in response.text


def test_known_keys(keyed: TestClient) -> None:
    for headers in (sent_by("ada"), {"Authorization": f"bearer  {secret_of('ada')} "}):
        for method, path in PROTECTED:
            assert keyed.request(method, path, headers=headers).status_code in (200, 404, 422), path


def test_probes_need_no_key(keyed: TestClient, client_with: ClientFactory) -> None:
    stranger = client_with(peer="203.0.113.7")
    for path in PUBLIC:
        assert keyed.get(path).status_code == 200
        assert stranger.get(path).status_code == 200


@pytest.mark.parametrize(
    ("peer", "host", "allowed"),
    [
        ("127.0.0.1", "127.0.0.1:8000", True),
        ("127.0.0.1", "localhost", True),
        ("127.8.8.8", "127.0.0.1", True),
        ("::1", "[::1]:8000", True),
        ("::ffff:127.0.0.1", "localhost", True),
        ("192.168.0.9", "127.0.0.1", False),
        ("203.0.113.7", "localhost", False),
        ("::ffff:192.168.0.9", "localhost", False),
        ("fe80::1", "localhost", False),
        ("testclient", "localhost", False),
        pytest.param("127.0.0.1", "rebound.example", False, id="a-name-that-was-made-to-lead-here"),
    ],
)
def test_without_keys_the_loopback_alone(client_with: ClientFactory, peer: str, host: str, allowed: bool) -> None:
    client = client_with(peer=peer, host=host)
    for method, path in PROTECTED:
        response = client.request(method, path)
        if allowed:
            assert response.status_code in (200, 404, 422), path
        else:
            assert (response.status_code, response.json()["code"]) == (403, "not_loopback"), path
            assert "grow keys create" in response.json()["hint"]


def test_prefixes_of_a_key(keyed: TestClient, body: Body, llama: Path, tmp_path: Path) -> None:
    body["output"] = f"file://{tmp_path}/ada/grown"
    assert keyed.post("/plan", json=body, headers=sent_by("ada")).status_code == 200
    operator = f"file://{tmp_path}/operator.safetensors"
    for change, field in [
        ({"source": "file:///etc"}, "/source"),
        ({"source": f"file://{llama.parent}-other/llama"}, "/source"),
        ({"output": f"file://{tmp_path}/adam/grown"}, "/output"),
        ({"output": f"file://{tmp_path}"}, "/output"),
        ({"output": body["source"] + "/grown"}, "/output"),
        ({"data": {"uri": "s3://corpora/wikipedia"}}, "/data/uri"),
        ({"data": {"uri": "s3://corpora"}}, "/data/uri"),
        ({"data": {"uri": body["source"]}}, "/data/uri"),
        ({"method": {"name": "ligo", "operator": operator}}, "/method/operator"),
        ({"source_optimizer": f"file://{tmp_path}/optimizer.safetensors"}, "/source_optimizer"),
    ]:
        for path in ("/plan", "/grow"):
            response = keyed.post(path, json=body | change, headers=sent_by("ada"))
            assert response.status_code == 403, change
            assert (response.json()["code"], response.json()["field"]) == ("prefix_not_allowed", field)


def test_a_key_without_prefixes_may_name_nothing(keyed: TestClient, body: Body) -> None:
    response = keyed.post("/plan", json=body, headers=sent_by("bob"))
    assert (response.status_code, response.json()["field"]) == (403, "/source")
    assert response.json()["hint"] == "Allowed: none."


def test_prefix_is_checked_where_links_lead(keyed: TestClient, body: Body, tmp_path: Path) -> None:
    (tmp_path / "ada").mkdir()
    (tmp_path / "ada" / "link").symlink_to(tmp_path)
    body["output"] = f"file://{tmp_path}/ada/link/grown"
    response = keyed.post("/plan", json=body, headers=sent_by("ada"))
    assert (response.status_code, response.json()["code"]) == (403, "prefix_not_allowed")


def test_allowed_prefixes_of_the_loopback(client_with: ClientFactory, body: Body, llama: Path, tmp_path: Path) -> None:
    client = client_with(allowed_prefixes=f"file://{llama}, file://{tmp_path}")
    assert client.post("/plan", json=body).status_code == 200
    response = client.post("/plan", json=body | {"source": "s3://models/small"})
    assert (response.status_code, response.json()["code"]) == (403, "prefix_not_allowed")


def test_another_owners_job_is_not_there(keyed: TestClient, body: Body, tmp_path: Path) -> None:
    body["output"] = f"file://{tmp_path}/ada/grown"
    path = keyed.post("/grow", json=body, headers=sent_by("ada")).headers["Location"]
    missing = keyed.get("/jobs/job-0", headers=sent_by("bob")).json()
    for method, more in [
        ("GET", ""),
        ("GET", "?wait=60"),
        ("POST", "/cancel"),
        ("POST", "/retry"),
        ("POST", "/webhook"),
        ("GET", "/events"),
    ]:
        response = keyed.request(method, path + more, headers=sent_by("bob"))
        assert response.status_code == 404
        assert response.json() == missing
    stream = keyed.get(path + "/events", headers={**sent_by("bob"), "Accept": "text/event-stream"})
    assert stream.status_code == 404
    assert keyed.get("/jobs", headers=sent_by("bob")).json()["jobs"] == []
    assert keyed.get(path, headers=sent_by("ada")).json()["status"] == "queued"


def test_keys_in_a_file(client_with: ClientFactory, tmp_path: Path) -> None:
    file = tmp_path / "keys.json"
    file.write_text(json.dumps([api_key("ada")]))
    client = client_with(peer="203.0.113.7", api_keys_file=file)
    assert client.get("/jobs", headers=sent_by("ada")).status_code == 200
    assert client.get("/jobs", headers=sent_by("bob")).status_code == 401


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (None, "can't be read"),
        ("{", "Invalid JSON"),
        ('[{"name": "ada"}]', "key_sha256"),
        (json.dumps([api_key("ada", source=["http://x"])]), "names no storage"),
        (json.dumps([api_key("ada", sources=[])]), "sources"),
        (json.dumps([api_key("ada"), api_key("ada")]), "same name"),
        (json.dumps([api_key("local")]), "'local'"),
        (json.dumps([api_key("ada") | {"scopes": ["jobs:all"]}]), "scopes"),
    ],
)
def test_keys_that_can_not_be_used_stop_the_start(tmp_path: Path, content: str | None, said: str) -> None:
    file = tmp_path / "keys.json"
    if content is not None:
        file.write_text(content)
    with pytest.raises(ValueError, match=said):
        create_app(ServiceSettings(api_keys_file=file))


def test_settings_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GROW_API_KEYS", json.dumps([api_key("ada")]))
    monkeypatch.setenv("GROW_ALLOWED_PREFIXES", "file:///data,s3://models/")
    settings = ServiceSettings()
    assert [key.name for key in settings.all_keys()] == ["ada"]
    assert settings.allowed_prefixes == ("file:///data", "s3://models/")
    assert settings.all_keys()[0].key_sha256 not in repr(settings)
    monkeypatch.setenv("GROW_ALLOWED_PREFIXES", "/data")
    with pytest.raises(ValidationError, match="names no storage"):
        ServiceSettings()


def test_settings_are_few_and_documented() -> None:
    fields = ServiceSettings.model_fields
    assert len(fields) <= 20
    assert [name for name, field in fields.items() if not field.description] == []
