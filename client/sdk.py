"""The Python SDK: `GrowClient` for plain code; `client.async_sdk` has the same for asyncio."""

import time
from collections.abc import Iterator
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


class GrowClient:
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
        transport: httpx2.BaseTransport | None = None,
    ) -> None:
        self._connection = Connection(base_url, api_key, timeout_seconds)
        self._retries = retries
        self._http = httpx2.Client(transport=transport, **self._connection.client_options())

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def url(self) -> str:
        """The address of the service."""
        return self._connection.url

    def close(self) -> None:
        """Closes the connections; jobs go on."""
        self._http.close()

    def plan(self, request: Request) -> Plan:
        """What a request would do; nothing is created."""
        return self._ask(calls.plan(request))

    def submit(self, request: Request, idempotency_key: str | None = None) -> Job:
        """A new job; the one that the key made before, where it was used before."""
        return self._ask(calls.submit(request, idempotency_key))

    def tune(self, request: Search, idempotency_key: str | None = None) -> TuneJob:
        """A new search of hyper-parameters; the one that the key made before, where it was used before."""
        return self._ask(calls.tune(request, idempotency_key))

    def job(self, job_id: str) -> AnyJob:
        """The job as it is now. Raises NotFoundError."""
        return self._ask(calls.job(job_id)).root

    def jobs(self, where: JobFilter = EVERY_JOB, *, page_size: int = 50) -> Iterator[AnyJob]:
        """Newest first, page after page as they are asked for."""
        cursor = None
        while True:
            page = self._ask(calls.jobs(where, cursor, page_size))
            yield from page.jobs
            cursor = page.next_cursor
            if cursor is None:
                return

    def cancel(self, job_id: str) -> AnyJob:
        """Ends a queued job, asks a running one to stop, leaves an ended one. Raises NotFoundError."""
        return self._ask(calls.cancel(job_id)).root

    def retry(self, job_id: str) -> AnyJob:
        """A new job for the request of one that failed or was cancelled; always the same one. Raises NotFoundError."""
        return self._ask(calls.retry(job_id)).root

    def send_webhook(self, job_id: str) -> AnyJob:
        """Sends the webhook of an ended job once more. Raises NotFoundError."""
        return (self._ask(calls.send_webhook(job_id))).root

    def webhook_secret(self, *, change: bool = False) -> str:
        """What webhooks are signed with, as the Standard Webhooks libraries take it; with `change` another one."""
        return self._ask(calls.webhook_secret(change=change)).secret

    def wait(self, job_id: str, timeout_seconds: float | None = None, *, check: bool = False) -> AnyJob:
        """The job once it has ended. Raises NotFoundError, WaitTimeout, and with `check` JobFailed."""
        return self._run(wait(job_id, timeout_seconds, check))

    def events(self, job_id: str, after: str | None = None) -> Iterator[Event]:
        """What happens to the job after the event `after`, until it has ended; broken connections are taken up again.

        Raises NotFoundError.
        """
        feed = Feed(job_id, after, self._connection.url)
        while not feed.over:
            try:
                yield from self._connected(feed)
            except httpx2.TransportError:
                feed.broke()
            self._run(feed.before_next())

    def methods(self) -> list[MethodDescription]:
        """The growth methods, each with the JSON schema of its options."""
        return self._ask(calls.methods()).methods

    def architectures(self) -> list[ArchitectureDescription]:
        """The families of models that can be grown."""
        return self._ask(calls.architectures()).architectures

    def readiness(self) -> Readiness:
        """Whether the service can do its work, and what may lose records; ProblemError where it can't."""
        return self._ask(calls.readiness())

    def service_version(self) -> str:
        """The version of the service."""
        return self._ask(calls.description()).info.version

    def _connected(self, feed: Feed) -> Iterator[Event]:
        response = self._http.send(self._connection.feed_request(self._http, feed), stream=True)
        try:
            if response.is_success:
                for sent in httpx2.EventSource(response):
                    yield feed.take(sent.data)
            else:
                response.read()
                feed.refused(self._connection.reply(response))
        finally:
            response.close()

    def _ask(self, call: Call[Answer]) -> Answer:
        return self._run(exchange(call, self._retries))

    def _run(self, steps: Steps[Result]) -> Result:
        reply: Reply | Unreachable | None = None
        while True:
            try:
                step = steps.send(reply)
            except StopIteration as end:
                result: Result = end.value
                return result
            reply = self._take(step)

    def _take(self, step: Call[Any] | Pause) -> Reply | Unreachable | None:
        if isinstance(step, Pause):
            time.sleep(step.seconds)
            return None
        try:
            return self._connection.reply(self._http.send(self._connection.request(self._http, step)))
        except httpx2.TransportError as error:
            return self._connection.unreachable(error)
