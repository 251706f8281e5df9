"""Tokens of an identity provider: which are taken, whose jobs they submit, and how its keys change."""

import base64
import hmac
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from pydantic import ValidationError
from starlette.testclient import TestClient

from service.errors import ProviderSilent
from service.settings import ServiceSettings
from service.signing_keys import FRESH_SECONDS, MOST_BYTES, PAUSE_SECONDS, STALE_SECONDS, SigningKeys
from tests.service.conftest import Body, ClientFactory
from tests.service.keys import api_key, sent_by
from tests.service.provider import AUDIENCE, ISSUER, Provider, serving_keys

STRANGER = {"peer": "203.0.113.7", "host": "grow.example"}


@pytest.fixture(scope="module")
def provider() -> Provider:
    return Provider()


@pytest.fixture(scope="module")
def jwks_url(provider: Provider) -> Iterator[str]:
    with serving_keys(provider) as url:
        yield url


@pytest.fixture
def oidc(jwks_url: str, llama: Path, tmp_path: Path) -> dict[str, Any]:
    prefixes = {"source": [f"file://{llama}"], "output": [f"file://{tmp_path}/{{owner}}"]}
    return {"issuer": ISSUER, "audience": AUDIENCE, "jwks_url": jwks_url, "prefixes": prefixes}


@pytest.fixture
def client(client_with: ClientFactory, oidc: dict[str, Any]) -> TestClient:
    return client_with(**STRANGER, oidc=oidc, api_keys=[api_key("ben")])


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


def test_good_tokens_and_keys_are_both_taken(client: TestClient, provider: Provider) -> None:
    for token in (provider.sign(), provider.sign("ec-1", algorithm="ES256"), provider.sign(aud=["other", AUDIENCE])):
        assert client.get("/jobs", headers=bearer(token)).status_code == 200
    assert client.get("/jobs", headers=sent_by("ben")).status_code == 200
    assert client.get("/jobs").status_code == 401


@pytest.mark.parametrize(
    ("claims", "said"),
    [
        ({"exp": int(time.time()) - 3600}, "expired"),
        ({"nbf": int(time.time()) + 3600}, "not good yet"),
        ({"iss": "https://login.evil"}, "another issuer"),
        ({"iss": ISSUER + "/"}, "another issuer"),
        ({"aud": "model-growth-2"}, "another audience"),
        ({"exp": None}, "a claim is missing"),
        ({"iss": None}, "a claim is missing"),
        ({"aud": None}, "a claim is missing"),
        ({"sub": None}, "'sub' names no owner"),
        ({"sub": "two words"}, "'sub' names no owner"),
        ({"sub": "x" * 201}, "'sub' names no owner"),
        ({"sub": ".."}, "no part of a prefix"),
    ],
)
def test_claims_that_are_not_taken(client: TestClient, provider: Provider, claims: dict[str, Any], said: str) -> None:
    response = client.get("/jobs", headers=bearer(provider.sign(**claims)))
    assert (response.status_code, response.json()["code"]) == (401, "unauthorized")
    assert said in response.json()["detail"]


def test_clocks_may_be_a_little_apart(client: TestClient, provider: Provider) -> None:
    now = int(time.time())
    for token in (provider.sign(exp=now - 5), provider.sign(nbf=now + 15)):
        assert client.get("/jobs", headers=bearer(token)).status_code == 200


def _part(value: object) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=").decode()


def _with_secret(header: object, claims: object, secret: bytes) -> str:
    signed = f"{_part(header)}.{_part(claims)}"
    signature = hmac.digest(secret, signed.encode(), "sha256")
    return f"{signed}.{base64.urlsafe_b64encode(signature).rstrip(b'=').decode()}"


def _forged(provider: Provider) -> dict[str, str]:
    now = int(time.time())
    claims = {"iss": ISSUER, "aud": AUDIENCE, "sub": "ada", "exp": now + 600}
    public = provider.keys["rsa-1"].public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    head, _, signature = provider.sign().split(".")
    return {
        "unsigned": f"{_part({'alg': 'none', 'kid': 'rsa-1'})}.{_part(claims)}.",
        "the public key as a secret": _with_secret({"alg": "HS256", "kid": "rsa-1"}, claims, public),
        "an algorithm that is not allowed": provider.sign(algorithm="RS384"),
        "a key that is not shown": provider.sign("rsa-2"),
        "another key's name": jwt.encode(claims, provider.keys["rsa-2"], "RS256", headers={"kid": "rsa-1"}),
        "a key of another kind": jwt.encode(claims, provider.keys["rsa-2"], "RS256", headers={"kid": "ec-1"}),
        "no key's name": jwt.encode(claims, provider.keys["rsa-1"], "RS256"),
        "other claims": f"{head}.{_part(claims | {'sub': 'root'})}.{signature}",
        "a key that it brings itself": jwt.encode(
            claims, provider.keys["rsa-2"], "RS256", headers={"kid": "rsa-2", "jwk": provider.public("rsa-2")}
        ),
        "no algorithm": f"{_part({'kid': 'rsa-1'})}.{_part(claims)}.{signature}",
        "no token": "a.b.c",
        "nothing": "..",
        "a name that is a list": f"{_part({'alg': 'RS256', 'kid': ['rsa-1']})}.{_part(claims)}.{signature}",
    }


def test_forged_tokens(client: TestClient, provider: Provider) -> None:
    for name, token in _forged(provider).items():
        response = client.get("/jobs", headers=bearer(token))
        assert (response.status_code, response.json()["code"]) == (401, "unauthorized"), name
        assert token not in response.text or name == "nothing"


@pytest.mark.parametrize(
    ("scope", "reads", "writes"),
    [
        (None, True, True),
        ("openid jobs:read", True, False),
        (["jobs:write", "email"], False, True),
        ("admin", True, True),
        ("openid", False, False),
        (7, False, False),
    ],
)
def test_scopes(client: TestClient, provider: Provider, scope: object, reads: bool, writes: bool) -> None:
    headers = bearer(provider.sign(scope=scope))
    assert client.get("/jobs", headers=headers).status_code == (200 if reads else 403)
    assert client.post("/grow", headers=headers).status_code == (422 if writes else 403)


def test_owners_have_places_of_their_own(client: TestClient, provider: Provider, body: Body, tmp_path: Path) -> None:
    ada, eve = bearer(provider.sign(sub="ada")), bearer(provider.sign(sub="ada/eve"))
    body["output"] = f"file://{tmp_path}/ada/grown"
    made = client.post("/grow", json=body, headers=ada)
    assert (made.status_code, made.json()["owner"]) == (202, "oidc:ada")
    assert client.get(made.headers["Location"], headers=eve).status_code == 404
    for output, allowed in [("ada/eve/grown", False), ("ada%2Feve/grown", True), ("grown", False)]:
        response = client.post("/plan", json=body | {"output": f"file://{tmp_path}/{output}"}, headers=eve)
        assert (response.status_code == 200) == allowed, output


def test_a_provider_that_is_silent_is_a_503(
    client_with: ClientFactory, provider: Provider, oidc: Any, free_port: int
) -> None:
    client = client_with(**STRANGER, oidc=oidc | {"jwks_url": f"http://127.0.0.1:{free_port}/jwks.json"})
    response = client.get("/jobs", headers=bearer(provider.sign()))
    assert (response.status_code, response.json()["code"]) == (503, "provider_silent")
    assert str(free_port) not in response.text


@pytest.mark.parametrize(
    "change",
    [
        {"algorithms": ["HS256"]},
        {"algorithms": ["none"]},
        {"algorithms": []},
        {"jwks_url": "file:///etc/passwd"},
        {"clock_skew_seconds": 86_400},
        {"prefixes": {"source": ["http://x"]}},
        {"audiences": ["x"]},
    ],
)
def test_settings_that_can_not_be_used(oidc: dict[str, Any], change: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        ServiceSettings(oidc=oidc | change)


class TestKeys:
    """What is asked of the provider, and when; the clock is the test's."""

    @pytest.fixture
    def now(self) -> list[float]:
        return [0.0]

    @pytest.fixture
    def changing(self) -> Provider:
        return Provider()

    @pytest.fixture
    def keys(self, changing: Provider, now: list[float]) -> Iterator[SigningKeys]:
        with serving_keys(changing) as url:
            yield SigningKeys(url, clock=lambda: now[0])

    def test_asked_for_once_while_they_are_fresh(self, keys: SigningKeys, changing: Provider, now: list[float]) -> None:
        for moment in range(0, int(FRESH_SECONDS), 50):
            now[0] = float(moment)
            assert keys.find("rsa-1").key_id == "rsa-1"
        assert changing.asked == 1

    def test_a_new_key_is_found_and_an_old_one_forgotten(
        self, keys: SigningKeys, changing: Provider, now: list[float]
    ) -> None:
        keys.find("rsa-1")
        changing.shown = ["rsa-2"]
        now[0] = PAUSE_SECONDS + 1
        assert keys.find("rsa-2").key_id == keys.find(None).key_id == "rsa-2"
        with pytest.raises(jwt.InvalidKeyError):
            keys.find("rsa-1")

    def test_made_up_names_ask_no_more_often(self, keys: SigningKeys, changing: Provider, now: list[float]) -> None:
        for number in range(100):
            now[0] = number * PAUSE_SECONDS / 50
            with pytest.raises(jwt.InvalidKeyError):
                keys.find(f"made-up-{number}")
        assert changing.asked == 2

    @pytest.mark.parametrize("body", [b"no JSON", b"[]", b"{}", b'{"keys": []}', b" " * (MOST_BYTES + 1)])
    def test_keys_of_before_serve_while_it_answers_nonsense(
        self, keys: SigningKeys, changing: Provider, now: list[float], body: bytes
    ) -> None:
        keys.find("rsa-1")
        changing.body = body
        now[0] = STALE_SECONDS
        assert keys.find("rsa-1").key_id == "rsa-1"
        assert changing.asked == 2
        now[0] = STALE_SECONDS + PAUSE_SECONDS + 1
        with pytest.raises(ProviderSilent):
            keys.find("rsa-1")
