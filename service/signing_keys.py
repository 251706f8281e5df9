"""The public keys of an identity provider, asked for again when they grow old or a token names one that is new."""

import json
import threading
import time
from collections.abc import Callable
from typing import Any

import httpx2
import jwt
import structlog

from service.errors import ProviderSilent

FRESH_SECONDS = 300.0
"""A key that the provider has taken back is taken no longer than this."""
PAUSE_SECONDS = 10.0
"""Between two requests to the provider, whatever tokens name."""
STALE_SECONDS = 3600.0
"""How long the keys of before serve while the provider does not answer."""
TIMEOUT_SECONDS = 5.0
MOST_BYTES = 1 << 18

log = structlog.get_logger(__name__)


class SigningKeys:
    """The keys at one URL; for any number of threads."""

    def __init__(self, url: str, clock: Callable[[], float] = time.monotonic) -> None:
        self._url = url
        self._clock = clock
        self._keys: dict[str | None, jwt.PyJWK] = {}
        self._fetched_at = self._asked_at = float("-inf")
        self._asking = threading.Lock()

    def find(self, key_id: str | None) -> jwt.PyJWK:
        """The key that a token's header names; a token that names none is of the only key that there is.

        Raises jwt.PyJWTError where there is no such key, ProviderSilent where nobody can know.
        """
        if self._age() > FRESH_SECONDS or key_id not in self._keys:
            with self._asking:
                if self._clock() - self._asked_at > PAUSE_SECONDS:
                    self._ask()
        if self._age() > STALE_SECONDS:
            raise ProviderSilent("The identity provider does not show its keys; try again shortly.")
        key = self._keys.get(key_id)
        if key is None:
            raise jwt.InvalidKeyError("no such key")
        return key

    def _age(self) -> float:
        return self._clock() - self._fetched_at

    def _ask(self) -> None:
        self._asked_at = self._clock()
        try:
            found = jwt.PyJWKSet.from_dict(_fetch(self._url)).keys
        except (httpx2.HTTPError, ValueError, jwt.PyJWTError) as error:
            log.warning("the identity provider's keys can't be read", url=self._url, reason=str(error))
            return
        signing = [key for key in found if key.public_key_use in (None, "sig")]
        by_id: dict[str | None, jwt.PyJWK] = {key.key_id: key for key in signing}
        self._keys = by_id | {None: signing[0]} if len(signing) == 1 else by_id
        self._fetched_at = self._asked_at


def _fetch(url: str) -> dict[str, Any]:
    with (
        httpx2.Client(timeout=TIMEOUT_SECONDS, follow_redirects=False, trust_env=False) as client,
        client.stream("GET", url, headers={"Accept": "application/json"}) as response,
    ):
        response.raise_for_status()
        body = b""
        for part in response.iter_bytes():
            body += part
            if len(body) > MOST_BYTES:
                raise ValueError("the answer is too long")
    found = json.loads(body)
    if not isinstance(found, dict):
        raise ValueError("the answer is no JSON object")
    return found
