"""A job run in the test's own process, with something done at chosen moments of it."""

from collections import defaultdict
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field

from jobs.schema import Candidate, FitPoint, GrowthRequest, Result, Stage
from tests.worker.farm import Farm
from worker.conditions import Conditions
from worker.messages import Work
from worker.run import run_job

CONDITIONS: defaultdict[str | None, Conditions] = defaultdict(Conditions)
"""By endpoint."""


def nothing() -> None:
    return


@dataclass
class Moments:
    """A `worker.report.Report` that remembers, and calls the test back."""

    on_stage: dict[Stage, Callable[[], object]] = field(default_factory=dict)
    before_commit: Callable[[], object] = nothing
    stages: list[Stage] = field(default_factory=list)
    fractions: list[float] = field(default_factory=list)
    candidates: list[Candidate] = field(default_factory=list)
    points: list[FitPoint] = field(default_factory=list)
    training: list[FitPoint] = field(default_factory=list)

    def stage(self, stage: Stage) -> None:
        self.stages.append(stage)
        self.on_stage.get(stage, nothing)()

    def progress(self, fraction: float) -> None:
        self.fractions.append(fraction)

    def pretrained(self, point: FitPoint) -> None:
        self.training.append(point)

    def measured(self, candidate: Candidate) -> None:
        self.candidates.append(candidate)

    def fitted(self, point: FitPoint) -> None:
        self.points.append(point)

    def saving(self) -> AbstractContextManager[Callable[[], bool]]:
        return nullcontext(lambda: False)

    def ask_to_commit(self) -> None:
        self.before_commit()


def run_attempt(
    farm: Farm,
    request: GrowthRequest,
    moments: Moments | None = None,
    *,
    job_id: str = "job-1",
    attempt: int = 1,
    conditional: bool | None = None,
    granted: int | None = None,
) -> Result:
    """One attempt, without a record, a queue or a child; by conditional puts where the store keeps them."""
    if conditional is None:
        conditional = CONDITIONS[farm.settings.s3_endpoint_url].held(farm.storage, farm.root)
    work = Work(job_id=job_id, attempt=attempt, request=request, plan=None, conditional=conditional, granted=granted)
    return run_job(work, farm.storage, farm.settings, moments or Moments())
