"""The requests that clients send: growths of several sources to several sizes, each with an output of its own."""

import itertools
import json
import uuid
from collections.abc import Iterator
from typing import Any

from benchmarks.api.connection import get, post
from benchmarks.api.served import Served

HEALTH = get("/healthz")
TARGETS = [{"hidden_size": width, "num_hidden_layers": layers} for width in (64, 96, 128) for layers in (2, 3, 4, 6, 8)]
METHODS: list[Any] = ["lemon", "hypercloning", {"name": "net2net"}, {"name": "stack", "width": "lemon"}]


def bodies(service: Served) -> Iterator[dict[str, Any]]:
    """Without end; every source, target and method comes again after 240."""
    for source, target, method in itertools.cycle(itertools.product(service.sources, TARGETS, METHODS)):
        yield {
            "source": source,
            "output": f"{service.outputs}/{uuid.uuid4().hex}",
            "target": target,
            "method": method,
            "labels": {"team": "nlp"},
        }


def growths(service: Served, count: int) -> list[bytes]:
    """So many `POST /grow`, each with a key of its own."""
    return [post("/grow", body, uuid.uuid4().hex) for body in itertools.islice(bodies(service), count)]


def id_of(body: bytes) -> str:
    found: str = json.loads(body)["id"]
    return found
