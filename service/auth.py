"""Who calls, and what they may do and name: an API key, a token, or while there are neither this machine's loopback.

Every protected route checks before a byte of the body is parsed.
"""

import asyncio
from collections.abc import Callable, Coroutine, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from ipaddress import IPv6Address, ip_address
from typing import Annotated, Any

from fastapi import Depends, Request, Security
from fastapi.routing import APIRoute
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from starlette.responses import Response

from jobs.errors import StoreUnavailable
from jobs.quotas import NO_QUOTA, Quota
from service.api_keys import KINDS, LOOPBACK_OWNER, ApiKey, Kind, Scope, hash_of
from service.errors import NotLoopback, ScopeRequired, Unauthorized
from service.keyring import Keyring
from service.oidc import Tokens
from service.settings import ServiceSettings
from storage import Uri

READS = frozenset({"GET", "HEAD"})
DOTS_OF_A_TOKEN = 2
"""A JWT has them; a key that `grow keys` made has none."""
SECRETS = frozenset({"/webhook-secret"})
CREATES_NOTHING = frozenset({"/plan"})


@dataclass(frozen=True, slots=True)
class Caller:
    """The owner of what a request makes, and of all that it may see."""

    name: str
    scopes: frozenset[Scope]
    prefixes: Mapping[Kind, tuple[Uri, ...]] | None
    """Allowed prefixes of each kind; anything where None."""
    quota: Quota = NO_QUOTA
    good_until: float | None = None
    """Of a token, when it ends, in seconds since 1970; what a key is good for is looked up anew."""

    def may(self, scope: Scope) -> bool:
        return scope in self.scopes or "admin" in self.scopes

    def sees(self, owner: str) -> bool:
        """Whether the jobs of this owner are there for the caller."""
        return owner == self.name or self.may("admin")

    def allowed(self, kind: Kind) -> tuple[Uri, ...] | None:
        """The prefixes below which a URI of this kind may lie; None where it may lie anywhere."""
        return None if self.prefixes is None else self.prefixes[kind]


class Callers:
    """All who may call: by their key, or whoever is on the loopback."""

    def __init__(self, settings: ServiceSettings, keyring: Keyring) -> None:
        self._keyring = keyring
        self._tokens = None if settings.oidc is None else Tokens(settings.oidc)
        anywhere = settings.allowed_prefixes
        local = None if anywhere is None else dict.fromkeys(KINDS, tuple(map(Uri.parse, anywhere)))
        self._loopback = Caller(LOOPBACK_OWNER, frozenset({"admin"}), local)

    async def identify(self, request: Request) -> Caller:
        """Who sent the request. Raises Unauthorized, NotLoopback, StoreUnavailable."""
        if self._tokens is not None or await self._keys_in_use():
            return await self._by_token(request.headers.get("authorization", ""))
        if not _on_loopback(request):
            raise NotLoopback(
                "This service has no API keys, so it answers clients on its own machine alone.",
                hint="Make one with `grow keys create`, and send it as `Authorization: Bearer <key>`.",
            )
        return self._loopback

    def need_keys(self) -> bool:
        """Whether a client has to send a key or a token; yes, where the store that knows does not answer."""
        with suppress(StoreUnavailable):
            known = self._keyring.known_in_use()
            return self._tokens is not None or (self._keyring.in_use() if known is None else known)
        return True

    async def _keys_in_use(self) -> bool:
        known = self._keyring.known_in_use()
        return await asyncio.to_thread(self._keyring.in_use) if known is None else known

    async def _by_token(self, header: str) -> Caller:
        scheme, _, token = header.partition(" ")
        if scheme.lower() != "bearer" or not token.strip():
            raise Unauthorized("Send an API key as `Authorization: Bearer <key>`.")
        if self._tokens is not None and token.count(".") == DOTS_OF_A_TOKEN:
            owner, scopes, prefixes, good_until = await asyncio.to_thread(self._tokens.read, token.strip())
            return Caller(owner, scopes, prefixes, self._tokens.quota, good_until)
        return await self._by_key(hash_of(token.strip()))

    async def _by_key(self, key_sha256: str) -> Caller:
        key = self._keyring.remembered(key_sha256) or await asyncio.to_thread(self._keyring.look_up, key_sha256)
        if key is None:
            raise Unauthorized("This API key is not known here; ask the operator for one.")
        if (reason := key.refused_because(datetime.now(UTC))) is not None:
            raise Unauthorized(f"This API key is {reason}; ask the operator for another.")
        return _caller(key)


def _caller(key: ApiKey) -> Caller:
    prefixes = {kind: tuple(map(Uri.parse, key.prefixes.of(kind))) for kind in KINDS}
    return Caller(key.name, frozenset(key.scopes), prefixes, key.quotas.quota())


def _on_loopback(request: Request) -> bool:
    # The Host header too: a page of another site, whose name was made to lead here, shows its own name there.
    hostname = request.url.hostname or ""
    peer = request.client.host if request.client else ""
    return _is_loopback(peer) and (hostname == "localhost" or _is_loopback(hostname))


@lru_cache(maxsize=1024)
def _is_loopback(host: str) -> bool:
    try:
        address = ip_address(host)
    except ValueError:
        return False
    if isinstance(address, IPv6Address) and address.ipv4_mapped:
        address = address.ipv4_mapped
    return address.is_loopback


class ProtectedRoute(APIRoute):
    """A route that knows its caller before it reads the request's body; who only reads jobs may not change any."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handle = super().get_route_handler()
        reads = (self.methods or set()) <= READS and self.path not in SECRETS
        needed: Scope = "jobs:read" if reads or self.path in CREATES_NOTHING else "jobs:write"

        async def identify_first(request: Request) -> Response:
            callers: Callers = request.app.state.callers
            request.state.caller = caller = await callers.identify(request)
            if not caller.may(needed):
                raise ScopeRequired(
                    f"This needs the scope {needed!r}, which the key does not have.",
                    hint="Ask the operator for a key that has it.",
                )
            return await handle(request)

        return identify_first


_BEARER = HTTPBearer(
    auto_error=False,
    scheme_name="apiKey",
    description="An API key, or a token of the identity provider. A service without keys answers loopback clients "
    "alone, and needs none.",
)


async def _current(request: Request, _: Annotated[HTTPAuthorizationCredentials | None, Security(_BEARER)]) -> Caller:
    caller: Caller = request.state.caller
    return caller


CurrentCaller = Annotated[Caller, Depends(_current)]
