"""The Python SDK for asyncio: `AsyncGrowClient`, method for method what `client.sdk.GrowClient` is."""

import asyncio
from collections.abc import AsyncIterator
from types import TracebackType
from typing import Any, Self

import httpx2

from client import calls
from client.calls import EVERY_JOB, Answer, Call, JobFilter, Readiness, Request, Search
from client.connection import DEFAULT_RETRIES, DEFAULT_TIMEOUT_SECONDS, DEFAULT_URL, Connection
from client.errors import Unreachable
from client.exchange import Pause, Reply, Result, Steps, exchange, wait
from client.feed import Feed
from jobs.schema import ArchitectureDescription, Event, Job, MethodDescription, Plan
from jobs.tuning import AnyJob, TuneJob


class AsyncGrowClient:
    """Talks to one service; every method raises ProblemError, Unreachable or UnexpectedAnswer (`client.errors`).

    Calls are repeated up to `retries` times when the connection fails or a gateway answers 502, 503 or 504.
    """

    def __init__(
        self,
        base_url: str = DEFAULT_URL,
        api_key: str | None = None,
        *,
        timeout_seconds: float = DEFAULT_TIMEOUT_SECONDS,
        retries: int = DEFAULT_RETRIES,
        transport: httpx2.AsyncBaseTransport | None = None,
    ) -> None:
        self._connection = Connection(base_url, api_key, timeout_seconds)
        self._retries = retries
        self._http = httpx2.AsyncClient(transport=transport, **self._connection.client_options())

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    @property
    def url(self) -> str:
        """The address of the service."""
        return self._connection.url

    async def close(self) -> None:
        """Closes the connections; jobs go on."""
        await self._http.aclose()

    async def plan(self, request: Request) -> Plan:
        """What a request would do; nothing is created."""
        return await self._ask(calls.plan(request))

    async def submit(self, request: Request, idempotency_key: str | None = None) -> Job:
        """A new job; the one that the key made before, where it was used before."""
        return await self._ask(calls.submit(request, idempotency_key))

    async def tune(self, request: Search, idempotency_key: str | None = None) -> TuneJob:
        """A new search of hyper-parameters; the one that the key made before, where it was used before."""
        return await self._ask(calls.tune(request, idempotency_key))

    async def job(self, job_id: str) -> AnyJob:
        """The job as it is now. Raises NotFoundError."""
        return (await self._ask(calls.job(job_id))).root

    async def jobs(self, where: JobFilter = EVERY_JOB, *, page_size: int = 50) -> AsyncIterator[AnyJob]:
        """Newest first, page after page as they are asked for."""
        cursor = None
        while True:
            page = await self._ask(calls.jobs(where, cursor, page_size))
            for job in page.jobs:
                yield job
            cursor = page.next_cursor
            if cursor is None:
                return

    async def cancel(self, job_id: str) -> AnyJob:
        """Ends a queued job, asks a running one to stop, leaves an ended one. Raises NotFoundError."""
        return (await self._ask(calls.cancel(job_id))).root

    async def retry(self, job_id: str) -> AnyJob:
        """A new job for the request of one that failed or was cancelled; always the same one. Raises NotFoundError."""
        return (await self._ask(calls.retry(job_id))).root

    async def send_webhook(self, job_id: str) -> AnyJob:
        """Sends the webhook of an ended job once more. Raises NotFoundError."""
        return (await self._ask(calls.send_webhook(job_id))).root

    async def webhook_secret(self, *, change: bool = False) -> str:
        """What webhooks are signed with, as the Standard Webhooks libraries take it; with `change` another one."""
        return (await self._ask(calls.webhook_secret(change=change))).secret

    async def wait(self, job_id: str, timeout_seconds: float | None = None, *, check: bool = False) -> AnyJob:
        """The job once it has ended. Raises NotFoundError, WaitTimeout, and with `check` JobFailed."""
        return await self._run(wait(job_id, timeout_seconds, check))

    async def events(self, job_id: str, after: str | None = None) -> AsyncIterator[Event]:
        """What happens to the job after the event `after`, until it has ended; broken connections are taken up again.

        Raises NotFoundError.
        """
        feed = Feed(job_id, after, self._connection.url)
        while not feed.over:
            try:
                async for event in self._connected(feed):
                    yield event
            except httpx2.TransportError:
                feed.broke()
            await self._run(feed.before_next())

    async def methods(self) -> list[MethodDescription]:
        """The growth methods, each with the JSON schema of its options."""
        return (await self._ask(calls.methods())).methods

    async def architectures(self) -> list[ArchitectureDescription]:
        """The families of models that can be grown."""
        return (await self._ask(calls.architectures())).architectures

    async def readiness(self) -> Readiness:
        """Whether the service can do its work, and what may lose records; ProblemError where it can't."""
        return await self._ask(calls.readiness())

    async def service_version(self) -> str:
        """The version of the service."""
        return (await self._ask(calls.description())).info.version

    async def _connected(self, feed: Feed) -> AsyncIterator[Event]:
        response = await self._http.send(self._connection.feed_request(self._http, feed), stream=True)
        try:
            if response.is_success:
                async for sent in httpx2.EventSource(response):
                    yield feed.take(sent.data)
            else:
                await response.aread()
                feed.refused(self._connection.reply(response))
        finally:
            await response.aclose()

    async def _ask(self, call: Call[Answer]) -> Answer:
        return await self._run(exchange(call, self._retries))

    async def _run(self, steps: Steps[Result]) -> Result:
        reply: Reply | Unreachable | None = None
        while True:
            try:
                step = steps.send(reply)
            except StopIteration as end:
                result: Result = end.value
                return result
            reply = await self._take(step)

    async def _take(self, step: Call[Any] | Pause) -> Reply | Unreachable | None:
        if isinstance(step, Pause):
            await asyncio.sleep(step.seconds)
            return None
        try:
            return self._connection.reply(await self._http.send(self._connection.request(self._http, step)))
        except httpx2.TransportError as error:
            return self._connection.unreachable(error)
