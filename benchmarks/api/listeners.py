"""Many clients on one job's event stream: each gets every event, in order."""

import asyncio
import json
import time
import uuid
from typing import Any

from benchmarks.api.connection import Connection, get, post
from benchmarks.api.load import Clients
from benchmarks.api.requests import bodies, id_of
from benchmarks.api.served import Served
from jobs.schema import EventKind
from jobs.settings import SharedSettings
from jobs.store import JobStore

CLAIM = "1,000 SSE listeners on one job all get every event in order"
EVENTS = 50


def measure(service: Served, clients: Clients, listeners: int) -> dict[str, Any]:
    """Listeners first, then the events of a job's whole life; what each listener got is compared with the record."""
    store = JobStore(SharedSettings(redis_url=service.redis_url))
    job_id = asyncio.run(_submitted(service))
    futures = clients.begin(_listen, service.port, job_id, listeners)
    _until_watched(service, listeners)
    began = time.monotonic()
    attempt = store.claim(job_id, "benchmark").attempt
    for number in range(EVENTS):
        store.append_event(job_id, attempt, EventKind.LOG, {"message": str(number)})
    store.finish(job_id, attempt, None)
    heard = [ids for future in futures for ids in future.result()]
    seconds = time.monotonic() - began
    expected = [event.id for event in store.events(job_id).events]
    store.close()
    found = {
        "claim": CLAIM,
        "listeners": len(heard),
        "events": len(expected),
        "listeners_with_every_event_in_order": sum(ids == expected for ids in heard),
        "seconds_from_the_first_event_to_the_last_listener": round(seconds, 2),
    }
    assert found["listeners_with_every_event_in_order"] == listeners, json.dumps(found)
    return found


async def _submitted(service: Served) -> str:
    client = await Connection.to(service.port)
    status, body = await client.ask(post("/grow", next(bodies(service)), uuid.uuid4().hex))
    await client.close()
    assert status == 202, body
    return id_of(body)


def _until_watched(service: Served, listeners: int) -> None:
    """Until all of them have their connection; streams begin with what is there, so no more is needed."""
    deadline = time.monotonic() + 120
    while _connections(service.port) < listeners:
        assert time.monotonic() < deadline
        time.sleep(0.1)


def _connections(port: int) -> int:
    """Established connections to a port of this machine."""
    with open("/proc/net/tcp") as table:  # noqa: PTH123
        rows = [line.split() for line in table.readlines()[1:]]
    return sum(row[1].endswith(f":{port:04X}") and row[3] == "01" for row in rows)


def _listen(port: int, job_id: str, count: int) -> list[list[str]]:
    async def one() -> list[str]:
        client = await Connection.to(port)
        lines = client.lines(get(f"/jobs/{job_id}/events", "text/event-stream"))
        ids = [line.split()[1].decode() async for line in lines if line.startswith(b"id: ")]
        await client.close()
        return ids

    async def listen() -> list[list[str]]:
        return list(await asyncio.gather(*(one() for _ in range(count))))

    return asyncio.run(listen())
