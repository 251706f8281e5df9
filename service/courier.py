"""Sends webhooks: signed, to the address that was checked, with little time and no trust for the receiver.

It is a task of the service's own event loop. Workers may have no way out to the internet, and are busy for hours; the
service is always there, in any number of processes, which share the work through Redis (`jobs/webhooks.py`).
"""

import asyncio
import socket
import ssl
from collections.abc import Awaitable, Callable, Sequence
from ipaddress import ip_address

import httpx2
import structlog

from jobs.errors import JobNotFound, StoreUnavailable
from jobs.schema import Job
from jobs.store import JobStore
from jobs.tuning import AnyJob, TrialJob, TuneJob
from jobs.webhooks import Webhooks
from service.errors import WebhookRefused
from service.webhook_address import Target, may_connect, parse
from service.webhook_message import message

LOOK_SECONDS = 1.0
ATTEMPT_SECONDS = 15.0
"""For all of it: the name, the connection, the request and the head of the answer, whose body is never read."""
AT_ONCE = 16
GONE = 410

Resolve = Callable[[str, int], Awaitable[Sequence[str]]]
log = structlog.get_logger(__name__)


class Undelivered(Exception):
    """`str` says why, in words that the job's record may show; `for_good` where another attempt would not help."""

    def __init__(self, why: str, *, for_good: bool = False) -> None:
        super().__init__(why)
        self.for_good = for_good


async def resolved(host: str, port: int) -> list[str]:
    """The addresses of a host, by the system's resolver."""
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return [str(address[0]) for *_, address in found]


class Courier:
    """Sends what is due, over and over, until `run` is cancelled."""

    def __init__(
        self,
        store: JobStore,
        webhooks: Webhooks,
        trusted_hosts: Sequence[str],
        *,
        tls: ssl.SSLContext | None = None,
        resolve: Resolve = resolved,
    ) -> None:
        self._store = store
        self._webhooks = webhooks
        self._trusted_hosts = trusted_hosts
        self._tls = tls or ssl.create_default_context()
        self._resolve = resolve

    async def run(self) -> None:
        while True:
            try:
                sent = await self.send_due()
            except StoreUnavailable as error:
                log.warning("webhooks wait for the job store", reason=str(error))
                sent = 0
            except Exception:
                # A task that ends here would keep every later webhook back.
                log.exception("webhooks could not be sent; trying again")
                sent = 0
            if not sent:
                await asyncio.sleep(LOOK_SECONDS)

    async def send_due(self) -> int:
        """One attempt at each webhook that is due now, a few at once; how many."""
        due = await asyncio.to_thread(self._webhooks.take_due, AT_ONCE)
        async with asyncio.TaskGroup() as sending:
            for job_id in due:
                sending.create_task(self._send(job_id))
        return len(due)

    async def _send(self, job_id: str) -> None:
        try:
            job = await asyncio.to_thread(self._store.get, job_id)
        except JobNotFound:
            await asyncio.to_thread(self._webhooks.sent, job_id)
            return
        try:
            async with asyncio.timeout(ATTEMPT_SECONDS):
                await self._deliver(job)
        except (Undelivered, TimeoutError) as error:
            why = str(error) or f"no answer within {ATTEMPT_SECONDS:g} s"
            log.info("webhook not delivered", job_id=job_id, reason=why)
            for_good = isinstance(error, Undelivered) and error.for_good
            await asyncio.to_thread(self._webhooks.sent, job_id, why, for_good=for_good)
        else:
            log.info("webhook delivered", job_id=job_id)
            await asyncio.to_thread(self._webhooks.sent, job_id)

    async def _deliver(self, job: AnyJob) -> None:
        assert not isinstance(job, TrialJob), "trials have no webhooks"
        secrets = await asyncio.to_thread(self._webhooks.secrets_of, job.owner)
        target = self._target(job)
        status = await self._post(target, await self._address_of(target), *message(job, secrets))
        if not 200 <= status < 300:
            raise Undelivered(f"it answered HTTP {status}", for_good=status == GONE)

    def _target(self, job: Job | TuneJob) -> Target:
        try:
            # Checked again, because the operator may trust a host no longer.
            return parse(str(job.request.webhook), self._trusted_hosts)
        except WebhookRefused as error:
            raise Undelivered("its address is not allowed", for_good=True) from error

    async def _address_of(self, target: Target) -> str:
        try:
            found = await self._resolve(target.host, target.port)
        except (OSError, UnicodeError) as error:
            raise Undelivered("its name does not resolve") from error
        addresses = [ip_address(address.partition("%")[0]) for address in found]
        if not addresses or not all(may_connect(address, trusted=target.trusted) for address in addresses):
            raise Undelivered("its name does not resolve to public addresses")
        return str(addresses[0])

    async def _post(self, target: Target, address: str, body: bytes, headers: dict[str, str]) -> int:
        async with httpx2.AsyncClient(
            verify=self._tls, timeout=ATTEMPT_SECONDS, follow_redirects=False, trust_env=False
        ) as client:
            request = client.build_request(
                "POST",
                target.url.copy_with(host=address),
                content=body,
                headers={**headers, "Host": target.url.netloc.decode("ascii")},
                # The certificate is checked against the name, not against the address.
                extensions={"sni_hostname": target.host},
            )
            try:
                response = await client.send(request, stream=True)
            except (httpx2.TransportError, ssl.SSLError) as error:
                raise Undelivered("no connection, or no answer in HTTP") from error
            await response.aclose()
            return response.status_code
