"""`GET /jobs` over many records beside the same over few, in turns."""

import asyncio
import time
from concurrent.futures import ThreadPoolExecutor
from statistics import median
from typing import Any

from benchmarks.api.connection import Connection, get
from benchmarks.api.served import Served
from jobs.schema import GrowthRequest
from jobs.settings import SharedSettings
from jobs.store import JobStore
from service.api_keys import LOOPBACK_OWNER
from tests.jobs.samples import PLAN

CLAIM = "GET /jobs at 100,000 records within 2 times its time at 100"
WRITERS = 32
PATHS = {
    "newest": "/jobs?limit=50",
    "by_method": "/jobs?limit=50&method=lemon",
    "by_status_and_label": "/jobs?limit=50&status=queued&label=team%3Dnlp",
}


def fill(service: Served, records: int) -> None:
    """That many queued jobs of the loopback's owner, written by the job store itself."""
    store = JobStore(SharedSettings(redis_url=service.redis_url))

    def create(number: int) -> None:
        body = {
            "source": "s3://models/small",
            "output": f"s3://models/grown-{number}",
            "target": {"hidden_size": 64},
            "method": "lemon" if number % 2 else "net2net",
            "labels": {"team": "nlp" if number % 3 else "vision"},
        }
        store.create(GrowthRequest.model_validate(body), PLAN, LOOPBACK_OWNER)

    # Many at once, because each waits for the disk.
    with ThreadPoolExecutor(WRITERS) as pool:
        list(pool.map(create, range(records)))
    store.close()


def measure(few: Served, many: Served, records: tuple[int, int], rounds: int) -> dict[str, Any]:
    """Two services, each with its records, asked in turns; medians of milliseconds."""
    return {"claim": CLAIM, "records": records, "pages": asyncio.run(_pages(few, many, rounds))}


async def _pages(few: Served, many: Served, rounds: int) -> dict[str, Any]:
    clients = [await Connection.to(service.port) for service in (few, many)]
    found = {}
    for name, path in PATHS.items():
        seconds: tuple[list[float], list[float]] = ([], [])
        for _ in range(rounds):
            for client, times in zip(clients, seconds, strict=True):
                began = time.perf_counter()
                status, body = await client.ask(get(path))
                times.append(time.perf_counter() - began)
                assert status == 200, body
        small, large = map(median, seconds)
        found[name] = {
            "few_milliseconds": round(1e3 * small, 2),
            "many_milliseconds": round(1e3 * large, 2),
            "ratio": round(median(b / a for a, b in zip(*seconds, strict=True)), 2),
        }
    for client in clients:
        await client.close()
    return found
