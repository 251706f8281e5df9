"""The seeded faults of a run: whom they hit, how, and at which point of a job's way.

| point       | when                                                                              |
|-------------|-----------------------------------------------------------------------------------|
| `any`       | at a random moment                                                                |
| `accepted`  | directly after a `202`                                                            |
| `cancelled` | directly after a wish to cancel was answered                                      |
| `shard`     | a shard is on its way to the store, and arrives after the fault                   |
| `part`      | so is a part of a multipart upload                                                |
| `files`     | so is the first of the small files beside the shards                              |
| `commit`    | so is the manifest                                                                |
| `committed` | the manifest is in the store, and nobody has heard of it; its answer is lost      |
| `clearing`  | so is the deletion of what a job left                                             |
| `saved`     | a fit's state is on its way                                                       |
"""

from collections.abc import Iterator
from dataclasses import dataclass
from random import Random
from typing import Literal

Victim = Literal["child", "pool", "main", "worker", "api", "valkey", "s3"]
Action = Literal["kill", "pause", "stall", "leave"]
"""SIGKILL; SIGSTOP for a moment, or for longer than a lease; SIGTERM."""
Point = Literal["any", "accepted", "cancelled", "shard", "part", "files", "commit", "committed", "clearing", "saved"]

STORE_POINTS: dict[Point, tuple[str, str]] = {
    "shard": ("PUT", "-00001-of-"),
    "part": ("PUT", "partNumber="),
    "files": ("PUT", "growth.json"),
    "commit": ("PUT", "model.safetensors.index.json"),
    "committed": ("PUT", "model.safetensors.index.json"),
    "clearing": ("DELETE", "/out-"),
    "saved": ("PUT", "/state/job-"),
}
"""Method and mark of the request that tells each point."""
OF_JOBS: tuple[Victim, ...] = ("child", "pool", "main", "worker")
ACTIONS: dict[Victim, tuple[Action, ...]] = {
    "child": ("kill", "kill", "pause", "stall"),
    "pool": ("kill", "stall"),
    "main": ("kill",),
    "worker": ("kill", "kill", "stall", "leave"),
    "api": ("kill", "pause"),
    "valkey": ("kill", "kill", "pause", "stall"),
    "s3": ("kill", "pause", "stall"),
}
WEIGHTS: dict[Victim, int] = {"child": 7, "pool": 2, "main": 2, "worker": 7, "api": 3, "valkey": 5, "s3": 4}
AT_JOBS: tuple[Point, ...] = ("any", "shard", "part", "files", "commit", "commit", "committed", "clearing", "saved")
AT_SERVERS: tuple[Point, ...] = ("any", "accepted", "cancelled", "shard", "commit", "committed")
FIRST: tuple[tuple[Victim, Action, Point], ...] = (
    ("valkey", "kill", "accepted"),
    ("worker", "kill", "committed"),
    ("worker", "stall", "commit"),
    ("child", "kill", "shard"),
    ("worker", "leave", "any"),
    ("api", "kill", "accepted"),
    ("s3", "kill", "commit"),
)
"""In every run that is long enough."""


@dataclass(frozen=True)
class Fault:
    victim: Victim
    action: Action
    point: Point
    delay_seconds: float
    """Until the victim is started again, or waked (a stall takes a lease more)."""


def faults(random: Random, count: int) -> Iterator[Fault]:
    """The run's faults in order."""
    for number in range(count):
        if number < len(FIRST):
            victim, action, point = FIRST[number]
        else:
            (victim,) = random.choices(list(WEIGHTS), list(WEIGHTS.values()))
            action = random.choice(ACTIONS[victim])
            point = random.choice(AT_JOBS if victim in OF_JOBS else AT_SERVERS)
        yield Fault(victim, action, point, random.uniform(0.1, 1.5))
