"""`POST /grow` beside `GET /healthz`, in turns on the same server: rates at their peak, latencies at half of it."""

from statistics import median
from typing import Any

from benchmarks.api.load import Answers, Clients
from benchmarks.api.requests import HEALTH, growths
from benchmarks.api.served import Served

CLAIM = "at its peak at least 0.3 of the floor's requests in a second; 99 of 100 within 50 ms at half of that"
CONNECTIONS = (16, 32, 64)
SECONDS = 4
"""Of a round at half the peak."""


def measure(service: Served, clients: Clients, rounds: int, requests: int) -> dict[str, Any]:
    """`requests` submissions in a round, and three times as many of the floor, over as many connections."""
    clients.flood(service.port, growths(service, requests), CONNECTIONS[0])
    by_connections = {count: _side_by_side(service, clients, rounds, requests, count) for count in CONNECTIONS}
    peak = max(by_connections.values(), key=lambda found: median(found["grow_per_second"]))
    half = median(peak["grow_per_second"]) / 2
    paced, beside = [], []
    for _ in range(rounds):
        count = max(1, int(half * SECONDS))
        beside.append(_all(200, clients.paced(service.port, [HEALTH] * count, half)))
        paced.append(_all(202, clients.paced(service.port, growths(service, count), half)))
    return {
        "claim": CLAIM,
        "by_connections": by_connections,
        "ratio": peak["ratio"],
        "at_half_the_peak": {
            "per_second": round(half, 1),
            "p50_milliseconds": round(1e3 * median(answers.quantile(0.50) for answers in paced), 2),
            "p99_milliseconds": [round(1e3 * answers.quantile(0.99), 2) for answers in paced],
            "floor_p99_milliseconds": [round(1e3 * answers.quantile(0.99), 2) for answers in beside],
        },
    }


def _side_by_side(service: Served, clients: Clients, rounds: int, requests: int, connections: int) -> dict[str, Any]:
    floor, grow = [], []
    for _ in range(rounds):
        floor.append(_all(200, clients.flood(service.port, [HEALTH] * (3 * requests), connections)).rate)
        grow.append(_all(202, clients.flood(service.port, growths(service, requests), connections)).rate)
    return {
        "floor_per_second": [round(rate, 1) for rate in floor],
        "grow_per_second": [round(rate, 1) for rate in grow],
        "ratio": round(median(one / other for one, other in zip(grow, floor, strict=True)), 3),
    }


def _all(status: int, answers: Answers) -> Answers:
    assert set(answers.statuses) == {status}, f"Expected {status} alone, got {sorted(set(answers.statuses))}."
    return answers
