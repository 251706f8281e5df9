"""What happens to jobs, in numbers: gauges from the indexes, counters that scripts write with the change they count.

They are Redis' own, so they outlive every process, and every service that is asked tells the same. Fields of the hash:

| field                                  | counts                                                                  |
|----------------------------------------|-------------------------------------------------------------------------|
| submitted, ended|<status>              | jobs                                                                    |
| attempts, attempts_ended|<outcome>     | attempts                                                                |
| fencing_refusals|<write>               | writes of attempts that no longer held their job                        |
| queued|<bound>, stage|<stage>|<bound>  | durations up to so many seconds and over the bound before; `inf` at last |
| queued|microseconds, stage|<stage>|... | their sum                                                               |
| bytes_read, bytes_written              | what jobs' own processes moved                                          |
| fit_steps, training_steps              | steps of fits, and of the training of untrained sources                 |
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, get_args

from jobs.keys import Keys
from jobs.schema import Priority, Stage, Status
from jobs.scripts import connect, reaching_redis

BOUNDS = (1, 5, 15, 60, 300, 900, 3600, 14_400, 43_200, 86_400)
"""Upper ends of the buckets of durations, in seconds."""
MOST_WORKERS = 1000
_APART = 4_000_000_000_000_000
# Scores in the index of waiting jobs, as AHEAD and BEGUN in lua/job.lua make them.
_SCORES: Mapping[Priority, tuple[str | int, str | int]] = {
    "high": ("-inf", "(0"),
    "normal": (0, f"({_APART}"),
    "low": (_APART, "inf"),
}
Outcome = Literal["succeeded", "failed", "cancelled", "released", "lease_lost"]
OUTCOMES: tuple[Outcome, ...] = get_args(Outcome)
Write = Literal["renew", "update", "append", "use", "report", "grant", "finish", "release"]
WRITES: tuple[Write, ...] = get_args(Write)
_USED = ("worker", "host_memory_bytes", "gpu_memory_bytes", "gpu_memory_limit_bytes")


@dataclass(frozen=True)
class Durations:
    """A histogram: how many up to each bound and over the one before, then how many over the last; and their sum."""

    counts: tuple[int, ...]
    sum_seconds: float


@dataclass(frozen=True)
class Working:
    """What the process of a running job told of itself last."""

    worker: str
    host_memory_bytes: int | None
    gpu_memory_bytes: int | None
    gpu_memory_limit_bytes: int | None


@dataclass(frozen=True)
class Snapshot:
    """All numbers of one moment."""

    by_status: Mapping[Status, int]
    """Jobs on record; a search is one, its trials are in it."""
    unfinished: int
    """What waits for a worker or has one: growth jobs and trials."""
    queued: Mapping[Priority, int]
    working: list[Working]
    _counted: Mapping[str, int]

    def count(self, name: str, of: str | None = None) -> int:
        """A counter; 0 where nothing was ever counted."""
        return self._counted.get(name if of is None else f"{name}|{of}", 0)

    def queue_waits(self) -> Durations:
        """From queued to claimed."""
        return self._durations("queued")

    def stages(self, stage: Stage) -> Durations:
        """Of stages that came to their end."""
        return self._durations(f"stage|{stage}")

    def _durations(self, name: str) -> Durations:
        counts = tuple(self.count(name, str(bound)) for bound in (*BOUNDS, "inf"))
        return Durations(counts, self.count(name, "microseconds") / 1e6)


class Counters:
    """Reads them, with a connection of its own."""

    def __init__(self, keys: Keys, redis_url: str) -> None:
        self._keys = keys
        self._client = connect(redis_url)

    def close(self) -> None:
        self._client.close()

    def read(self) -> Snapshot:
        """Raises StoreUnavailable."""
        with reaching_redis():
            with self._client.pipeline(transaction=True) as pipeline:
                for status in Status:
                    pipeline.zcard(self._keys.with_status(self._keys.all, status))
                for lowest, highest in _SCORES.values():
                    pipeline.zcount(self._keys.waiting, lowest, highest)
                pipeline.zcard(self._keys.leases)
                pipeline.hgetall(self._keys.counters)
                pipeline.zrange(self._keys.leases, 0, MOST_WORKERS - 1)
                *sizes, working, counted, running = pipeline.execute()
            with self._client.pipeline(transaction=False) as pipeline:
                for job_id in running:
                    pipeline.hmget(self._keys.job(job_id), _USED)
                told = pipeline.execute()
        return Snapshot(
            dict(zip(Status, sizes, strict=False)),
            working + sum(waiting := sizes[len(Status) :]),
            dict(zip(_SCORES, waiting, strict=True)),
            [_working(fields) for fields in told if fields[0] is not None],
            {name: int(value) for name, value in counted.items()},
        )


def _working(fields: list[Any]) -> Working:
    worker, *numbers = fields
    return Working(worker, *(None if number is None else int(number) for number in numbers))
