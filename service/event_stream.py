"""A job's events as server-sent events, with heartbeats while nothing happens."""

import asyncio
import contextlib
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import AbstractContextManager
from typing import Any

import structlog
from fastapi.sse import KEEPALIVE_COMMENT, format_sse_event

from jobs.errors import JobNotFound, StoreUnavailable
from jobs.schema import Event
from service.open_calls import Ended

MEDIA_TYPE = "text/event-stream"
HEARTBEAT_SECONDS = 15.0
"""How often a silent stream sends a comment, so that no proxy takes it for dead."""

log = structlog.get_logger(__name__)


def accepts(accept: str) -> bool:
    """Whether an `Accept` header asks for an event stream, which only a client that wants one does."""
    ranges = [part.partition(";")[0].strip().lower() for part in accept.split(",")]
    return MEDIA_TYPE in ranges


async def encode(
    events: AsyncGenerator[Event, None], heartbeat_seconds: float, call: AbstractContextManager[Ended]
) -> AsyncIterator[bytes]:
    """Each event as it comes, a comment whenever none came for so long; ends where `events` ends, or the call has to.

    A client that comes back then is told why.
    """
    async with contextlib.aclosing(events):
        upcoming = asyncio.ensure_future(anext(events))
        try:
            with call as call_ended:
                while True:
                    either: set[asyncio.Future[Any]] = {upcoming, call_ended}
                    done, _ = await asyncio.wait(either, timeout=heartbeat_seconds, return_when=asyncio.FIRST_COMPLETED)
                    if call_ended.done():
                        return
                    if not done:
                        yield KEEPALIVE_COMMENT
                        continue
                    event = upcoming.result()
                    yield format_sse_event(data_str=event.model_dump_json(), event=event.kind, id=event.id)
                    upcoming = asyncio.ensure_future(anext(events))
        except StopAsyncIteration:
            return
        except (StoreUnavailable, JobNotFound) as error:
            # The status is sent already; a client whose stream breaks off comes back with Last-Event-ID.
            log.warning("event stream broken off", reason=str(error))
        finally:
            upcoming.cancel()
            with contextlib.suppress(asyncio.CancelledError, StopAsyncIteration, StoreUnavailable, JobNotFound):
                await upcoming
