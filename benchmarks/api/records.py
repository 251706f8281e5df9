"""Jobs submitted by many clients that send some of their requests twice: as many records as there are keys."""

import json
import random
import uuid
from typing import Any

from benchmarks.api.connection import post
from benchmarks.api.load import Clients
from benchmarks.api.requests import bodies
from benchmarks.api.served import Served
from jobs.keys import Keys
from jobs.scripts import connect

CLAIM = "10,000 jobs submitted by 32 clients with retried keys give exactly 10,000 records"
CLIENTS = 32
SENT_AGAIN = 0.3
"""Of the requests, at random places behind the first sending, and often beside it."""


def measure(service: Served, clients: Clients, jobs: int) -> dict[str, Any]:
    """Counts what is on record afterwards, and what the answers told."""
    before = _records(service)
    requests = [post("/grow", body, uuid.uuid4().hex) for body, _ in zip(bodies(service), range(jobs), strict=False)]
    again = random.Random(1).sample(requests, int(SENT_AGAIN * jobs))
    sent = _mixed(requests, again)
    answers = clients.flood(service.port, sent, CLIENTS)
    found = {
        "claim": CLAIM,
        "clients": CLIENTS,
        "keys": jobs,
        "requests": len(sent),
        "answers": {str(status): answers.statuses.count(status) for status in sorted(set(answers.statuses))},
        "requests_per_second": round(answers.rate, 1),
        "records": _records(service) - before,
    }
    assert found["records"] == jobs, json.dumps(found)
    assert set(answers.statuses) == {202}, json.dumps(found)
    return found


def _mixed(requests: list[bytes], again: list[bytes]) -> list[bytes]:
    """The second sendings among the first ones, some of them right behind."""
    behind = set(again[::2])
    later = again[1::2]
    mixed = []
    for request in requests:
        mixed += [request, request] if request in behind else [request]
    return mixed + later


def _records(service: Served) -> int:
    with connect(service.redis_url) as redis:
        count = redis.zcard(Keys().all)
    assert isinstance(count, int)
    return count
