"""How a job tells how it gets on, to whomever: a worker over a pipe, or a terminal."""

import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Protocol

from jobs.schema import Candidate, FitPoint, Stage
from telemetry.traces import OFF, Traces


class Report(Protocol):
    """Whom a job tells; each may raise to stop it."""

    def stage(self, stage: Stage) -> None: ...

    def progress(self, fraction: float) -> None:
        """Of the present stage."""

    def pretrained(self, point: FitPoint) -> None: ...

    def measured(self, candidate: Candidate) -> None: ...

    def fitted(self, point: FitPoint) -> None: ...

    def saving(self) -> AbstractContextManager[Callable[[], bool]]:
        """Within, the job saves where it stands before it ends early; what this gives tells whether it is to."""

    def ask_to_commit(self) -> None:
        """Called directly before the manifest is put; returns only where the job is still ours."""


class Stages:
    """Tells each stage as it begins, and measures and traces it."""

    def __init__(self, report: Report, traces: Traces = OFF) -> None:
        self._report = report
        self._traces = traces
        self.seconds: dict[str, float] = {}

    @contextmanager
    def __call__(self, stage: Stage) -> Iterator[None]:
        self._report.stage(stage)
        started = time.monotonic()
        with self._traces.span(stage.value):
            yield
        self.seconds[stage] = round(time.monotonic() - started, 3)
