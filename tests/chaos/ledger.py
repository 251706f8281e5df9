"""What the clients of a run were told, and what the driver did to it; written from many threads."""

import time
from collections import Counter
from dataclasses import dataclass, field
from threading import Condition, Lock
from typing import Any

from tests.chaos.faults import Fault
from tests.chaos.workload import Asked

Job = dict[str, Any]


@dataclass
class Inflicted:
    """A fault that came to pass."""

    fault: Fault
    at: float
    """By the clock, in seconds since 1970."""
    job_id: str | None
    recovered_seconds: float | None = None
    """Until the server that was hit answered again."""


@dataclass
class Ledger:
    """All of one run."""

    started: float = field(default_factory=time.monotonic)
    accepted: dict[int, str] = field(default_factory=dict)
    """The number of each job that was answered with 202, and its id."""
    refused: dict[int, str] = field(default_factory=dict)
    """The same for refusals, and their code."""
    ended: dict[str, Job] = field(default_factory=dict)
    """Each job as it was when it was first seen to have ended."""
    cancelled: set[str] = field(default_factory=set)
    """Jobs that a client has asked to stop."""
    inflicted: list[Inflicted] = field(default_factory=list)
    missed: Counter[str] = field(default_factory=Counter)
    """Faults whose point did not come in time, by point."""
    violations: list[str] = field(default_factory=list)
    lock: Lock = field(default_factory=Lock)

    def __post_init__(self) -> None:
        self.moved = Condition(self.lock)

    @property
    def seconds(self) -> float:
        return time.monotonic() - self.started

    def accept(self, asked: Asked, job_id: str) -> None:
        with self.moved:
            known = self.accepted.setdefault(asked.number, job_id)
            if known != job_id:
                self.violations.append(f"{asked.key} made two jobs, {known} and {job_id}")
            self.moved.notify_all()

    def refuse(self, asked: Asked, code: str) -> None:
        with self.moved:
            self.refused[asked.number] = code
            self.moved.notify_all()

    def end(self, job: Job) -> None:
        with self.moved:
            self.ended.setdefault(job["id"], job)
            self.moved.notify_all()

    def violate(self, sentence: str) -> None:
        with self.lock:
            self.violations.append(sentence)

    def open_jobs(self) -> list[str]:
        """Ids of accepted jobs that nobody has seen end."""
        with self.lock:
            return [job_id for job_id in self.accepted.values() if job_id not in self.ended]

    @property
    def answered(self) -> int:
        """Jobs that were accepted or refused."""
        with self.lock:
            return len(self.accepted) + len(self.refused)
