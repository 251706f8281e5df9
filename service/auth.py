"""Who calls, and what they may name: an API key, or without any configured key this machine's loopback.

Every protected route checks before a byte of the body is parsed.
"""

import hmac
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from ipaddress import IPv6Address, ip_address
from typing import Annotated, Any, Literal

from fastapi import Depends, Request, Security
from fastapi.routing import APIRoute
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from starlette.responses import Response

from service.errors import NotLoopback, Unauthorized
from service.settings import LOOPBACK_OWNER, ApiKey, Prefixes, ServiceSettings
from storage import Uri

Kind = Literal["source", "data", "output"]
KINDS: tuple[Kind, ...] = ("source", "data", "output")


@dataclass(frozen=True, slots=True)
class Caller:
    """The owner of what a request makes, and of all that it may see."""

    name: str
    prefixes: Mapping[Kind, tuple[Uri, ...]] | None
    """Allowed prefixes of each kind; anything where None."""

    def allowed(self, kind: Kind) -> tuple[Uri, ...] | None:
        """The prefixes below which a URI of this kind may lie; None where it may lie anywhere."""
        return None if self.prefixes is None else self.prefixes[kind]


@dataclass(frozen=True, slots=True)
class Callers:
    """All who may call: by the hash of their key, or whoever is on the loopback."""

    by_hash: Mapping[str, Caller] = field(repr=False)
    loopback: Caller

    @classmethod
    def of(cls, settings: ServiceSettings) -> "Callers":
        """Reads the configured keys. Raises ValueError where they can't be used."""
        by_hash = {key.key_sha256: _caller(key) for key in settings.all_keys()}
        anywhere = settings.allowed_prefixes
        local = None if anywhere is None else dict.fromkeys(KINDS, tuple(map(Uri.parse, anywhere)))
        return cls(by_hash, Caller(LOOPBACK_OWNER, local))

    def identify(self, request: Request) -> Caller:
        """Who sent the request. Raises Unauthorized, NotLoopback."""
        if self.by_hash:
            return self._by_key(request.headers.get("authorization", ""))
        if not _on_loopback(request):
            raise NotLoopback(
                "This service has no API keys, so it answers clients on its own machine alone.",
                hint="Set GROW_API_KEYS_FILE to a list of keys, and send one as `Authorization: Bearer <key>`.",
            )
        return self.loopback

    def _by_key(self, header: str) -> Caller:
        scheme, _, token = header.partition(" ")
        if scheme.lower() != "bearer" or not token.strip():
            raise Unauthorized("Send an API key as `Authorization: Bearer <key>`.")
        given = sha256(token.strip().encode()).hexdigest()
        matches = [caller for known, caller in self.by_hash.items() if hmac.compare_digest(known, given)]
        if not matches:
            raise Unauthorized("This API key is not known here; ask the operator for one.")
        return matches[0]


def _caller(key: ApiKey) -> Caller:
    prefixes: Prefixes = key.prefixes
    return Caller(key.name, {kind: tuple(map(Uri.parse, getattr(prefixes, kind))) for kind in KINDS})


def _on_loopback(request: Request) -> bool:
    # The Host header too: a page of another site, whose name was made to lead here, shows its own name there.
    hostname = request.url.hostname or ""
    peer = request.client.host if request.client else ""
    return _is_loopback(peer) and (hostname == "localhost" or _is_loopback(hostname))


def _is_loopback(host: str) -> bool:
    try:
        address = ip_address(host)
    except ValueError:
        return False
    if isinstance(address, IPv6Address) and address.ipv4_mapped:
        address = address.ipv4_mapped
    return address.is_loopback


class ProtectedRoute(APIRoute):
    """A route that knows its caller before it reads the request's body."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handle = super().get_route_handler()

        async def identify_first(request: Request) -> Response:
            callers: Callers = request.app.state.callers
            request.state.caller = callers.identify(request)
            return await handle(request)

        return identify_first


_BEARER = HTTPBearer(
    auto_error=False,
    scheme_name="apiKey",
    description="An API key. A service without keys answers loopback clients alone, and needs none.",
)


async def _current(request: Request, _: Annotated[HTTPAuthorizationCredentials | None, Security(_BEARER)]) -> Caller:
    caller: Caller = request.state.caller
    return caller


CurrentCaller = Annotated[Caller, Depends(_current)]
