"""Ends what a caller holds open, streams and long polls, once the key that opened it is no longer good.

One task looks at each caller who holds something open, however many connections those are, as often as a revocation in
less than a second takes: what a key is known for is remembered for half of one.
"""

import asyncio
import time
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any, TypeVar

import structlog
from fastapi import Request

from jobs.errors import StoreUnavailable
from service.auth import Caller, Callers
from service.errors import ServiceError, Unauthorized

LOOK_SECONDS = 0.3

log = structlog.get_logger(__name__)
T = TypeVar("T")
Ended = asyncio.Future[ServiceError]
"""Done, with the reason, once the call has to end."""


@dataclass
class _Held:
    caller: Caller
    request: Request
    """Any one of those that the caller has sent in the same way."""
    calls: set[Ended] = field(default_factory=set)


class OpenCalls:
    """For one event loop."""

    def __init__(self, callers: Callers) -> None:
        self._callers = callers
        self._held: dict[tuple[object, ...], _Held] = {}

    @property
    def watched(self) -> int:
        """How many callers are looked after, each once for each way in which they sent their requests."""
        return len(self._held)

    @contextmanager
    def held_by(self, request: Request) -> Iterator[Ended]:
        """While the block lasts, `request` is looked after."""
        ended: Ended = asyncio.get_running_loop().create_future()
        caller: Caller = request.state.caller
        sent = request.headers.get("authorization"), request.headers.get("host"), request.client and request.client.host
        held = self._held.setdefault((caller.name, caller.scopes, *sent), _Held(caller, request))
        held.calls.add(ended)
        try:
            yield ended
        finally:
            held.calls.discard(ended)

    async def unless_ended(self, request: Request, answer: Coroutine[Any, Any, T]) -> T:
        """What is waited for. Raises the reason where the call has to end before it is there."""
        waiting = asyncio.ensure_future(answer)
        try:
            with self.held_by(request) as ended:
                either: set[asyncio.Future[Any]] = {waiting, ended}
                await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
                if ended.done():
                    raise ended.result()
                return waiting.result()
        finally:
            waiting.cancel()
            with suppress(asyncio.CancelledError, Exception):
                await waiting

    async def run(self) -> None:
        """Looks, over and over, until it is cancelled."""
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            for key, held in list(self._held.items()):
                if not held.calls:
                    del self._held[key]
                elif (reason := await self._refused_because(held)) is not None:
                    log.info("open calls ended", owner=held.caller.name, calls=len(held.calls), reason=str(reason))
                    for ended in held.calls:
                        if not ended.done():
                            ended.set_result(reason)

    async def _refused_because(self, held: _Held) -> ServiceError | None:
        if held.caller.good_until is not None:  # a token: what it says holds until then
            return None if time.time() < held.caller.good_until else Unauthorized("This token has expired.")
        try:
            now = await self._callers.identify(held.request)
        except StoreUnavailable:  # then there is nothing to be told either, and nobody can know
            return None
        except ServiceError as error:
            return error
        except Exception:
            # A task that ends here would let every later stream outlive its key.
            log.exception("open calls could not be looked at; trying again")
            return None
        same = now.name == held.caller.name and held.caller.scopes <= now.scopes
        return None if same else Unauthorized("This API key no longer allows what it did when the call began.")
