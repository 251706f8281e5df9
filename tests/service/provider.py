"""An identity provider on this machine: it signs tokens, and shows its public keys over HTTP."""

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from jwt.algorithms import ECAlgorithm, RSAAlgorithm

ISSUER, AUDIENCE = "https://login.example", "model-growth"
PrivateKey = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey


@cache
def _keys() -> dict[str, PrivateKey]:
    """One set for a whole test process, because they take long to make."""
    return {
        "rsa-1": rsa.generate_private_key(65_537, 2048),
        "ec-1": ec.generate_private_key(ec.SECP256R1()),
        "rsa-2": rsa.generate_private_key(65_537, 2048),
    }


class Provider:
    """Its keys by their id; `shown` are the ids at its URL now."""

    def __init__(self) -> None:
        self.keys = _keys()
        self.shown = ["rsa-1", "ec-1"]
        self.asked = 0
        self.body: bytes | None = None
        """What is answered in place of the keys."""

    def sign(self, key_id: str = "rsa-1", *, algorithm: str = "RS256", **claims: Any) -> str:
        """A token that is good unless `claims` say otherwise; a claim that is None is left out."""
        now = int(time.time())
        every = {"iss": ISSUER, "aud": AUDIENCE, "sub": "ada", "iat": now, "exp": now + 600} | claims
        given = {name: value for name, value in every.items() if value is not None}
        return jwt.encode(given, self.keys[key_id], algorithm, headers={"kid": key_id})

    def public(self, key_id: str) -> dict[str, Any]:
        key = self.keys[key_id]
        if isinstance(key, rsa.RSAPrivateKey):
            found = RSAAlgorithm.to_jwk(key.public_key(), as_dict=True)
        else:
            found = ECAlgorithm.to_jwk(key.public_key(), as_dict=True)
        return {**found, "kid": key_id, "use": "sig"}

    def answer(self) -> bytes:
        self.asked += 1
        return self.body or json.dumps({"keys": [self.public(key_id) for key_id in self.shown]}).encode()


@contextmanager
def serving_keys(provider: Provider) -> Iterator[str]:
    """The URL of the provider's keys, until the block is left."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = provider.answer()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/jwks.json"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
