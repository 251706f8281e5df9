"""Clients in processes of their own: as fast as they can over some connections, or at a rate that they keep.

At a rate, a request's time counts from when it was due, so that a server which falls behind is not spared.
"""

import asyncio
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from typing import TypeVar

from benchmarks.api.connection import Connection

Found = TypeVar("Found")


@dataclass(frozen=True)
class Answers:
    """What some clients saw."""

    seconds: list[float]
    """Of each request."""
    statuses: list[int]
    began: float
    ended: float
    """On the machine's monotonic clock."""

    @property
    def rate(self) -> float:
        """Requests in a second."""
        return len(self.seconds) / (self.ended - self.began)

    def quantile(self, share: float) -> float:
        """Seconds within which this share of the requests was answered."""
        return sorted(self.seconds)[min(len(self.seconds) - 1, int(share * len(self.seconds)))]


class Clients:
    """Processes that are there before the clock starts."""

    def __init__(self, processes: int) -> None:
        self.processes = processes
        self._pool = ProcessPoolExecutor(processes, mp_context=get_context("spawn"))
        list(self._pool.map(_ready, range(processes)))

    def close(self) -> None:
        self._pool.shutdown()

    def flood(self, port: int, requests: Sequence[bytes], connections: int) -> Answers:
        """All requests, each connection sending its next as soon as it has its answer."""
        return self._shared(_flood, port, requests, max(1, connections // self.processes))

    def paced(self, port: int, requests: Sequence[bytes], rate: float) -> Answers:
        """All requests, `rate` of them in a second."""
        return self._shared(_paced, port, requests, rate / self.processes)

    def begin(self, work: Callable[[int, str, int], Found], port: int, told: str, count: int) -> list["Future[Found]"]:
        """`work` in each process at once, with its share of `count`."""
        return [self._pool.submit(work, port, told, count // self.processes) for _ in range(self.processes)]

    def _shared(
        self, work: Callable[[int, list[bytes], float], Answers], port: int, requests: Sequence[bytes], how: float
    ) -> Answers:
        parts = [list(requests[first :: self.processes]) for first in range(self.processes)]
        found = list(self._pool.map(work, [port] * len(parts), parts, [how] * len(parts)))
        return Answers(
            [seconds for one in found for seconds in one.seconds],
            [status for one in found for status in one.statuses],
            min(one.began for one in found),
            max(one.ended for one in found),
        )


def _ready(_: int) -> None:
    """Waits until the modules of this file are imported."""


def _flood(port: int, requests: list[bytes], connections: float) -> Answers:
    async def flood() -> Answers:
        waiting = iter(requests)
        clients = [await Connection.to(port) for _ in range(int(connections))]
        seconds: list[float] = []
        statuses: list[int] = []

        async def send_all(client: Connection) -> None:
            for request in waiting:
                sent = time.perf_counter()
                status, _ = await client.ask(request)
                seconds.append(time.perf_counter() - sent)
                statuses.append(status)

        began = time.monotonic()
        await asyncio.gather(*map(send_all, clients))
        ended = time.monotonic()
        for client in clients:
            await client.close()
        return Answers(seconds, statuses, began, ended)

    return asyncio.run(flood())


def _paced(port: int, requests: list[bytes], rate: float) -> Answers:
    async def paced() -> Answers:
        idle = [await Connection.to(port) for _ in range(64)]
        seconds: list[float] = []
        statuses: list[int] = []

        async def send(request: bytes, due: float) -> None:
            client = idle.pop() if idle else await Connection.to(port)
            status, _ = await client.ask(request)
            seconds.append(time.monotonic() - due)
            statuses.append(status)
            idle.append(client)

        began = time.monotonic()
        under_way = []
        for number, request in enumerate(requests):
            due = began + number / rate
            await asyncio.sleep(max(0.0, due - time.monotonic()))
            under_way.append(asyncio.create_task(send(request, due)))
        await asyncio.gather(*under_way)
        ended = time.monotonic()
        for client in idle:
            await client.close()
        return Answers(seconds, statuses, began, ended)

    return asyncio.run(paced())
