"""What the worker and the child that does its work say to each other: one JSON object a line.

The child's standard input takes a `Work` or a `TrialWork` and, later, one `Go` for each commit it asks for; its end
means that the worker is gone. On its standard output the child tells how it gets on and, as its last word, how it
ended.
"""

import sys
from datetime import datetime
from typing import Annotated, Literal

from pydantic import BaseModel, Field, TypeAdapter

from jobs.schema import Candidate, Failure, FitPoint, FitReport, GrowthRequest, Plan, Result, Stage
from jobs.tuning import TrialRequest, TrialResult

STOPPED_EXIT_CODE = 143
"""Of a child that ended because of SIGTERM."""


def exit_if(leaving: bool) -> None:
    """Ends this process as SIGTERM does, where it is to leave."""
    if leaving:
        sys.exit(STOPPED_EXIT_CODE)


class Go(BaseModel):
    """The answer to `MayCommit`."""

    until: float
    """By this machine's monotonic clock: how long the job is certain to be ours."""


class Work(BaseModel):
    """One attempt at a growth."""

    kind: Literal["grow"] = "grow"
    job_id: str
    attempt: int
    request: GrowthRequest
    plan: Plan | None
    """As the service made it; None where there was no service."""
    owner: str = "local"
    created_at: datetime | None = None
    started_at: datetime | None = None
    conditional: bool = True
    """Whether the output's store lets one of several conditional puts win; where not, the record grants the commit."""
    granted: int | None = None
    """The attempt that the record has granted the commit, if any."""
    request_id: str | None = None
    """Of the request that submitted the job."""
    traceparent: str | None = None
    """Of the attempt, where it is traced."""


class TrialWork(BaseModel):
    """One attempt at a trial."""

    kind: Literal["trial"] = "trial"
    job_id: str
    attempt: int
    request: TrialRequest
    request_id: str | None = None
    """Of the request that submitted the search."""
    traceparent: str | None = None
    """Of the attempt, where it is traced."""


class Progressed(BaseModel):
    kind: Literal["progressed"] = "progressed"
    stage: Stage
    progress: float


class Fitted(BaseModel):
    kind: Literal["fitted"] = "fitted"
    point: FitPoint


class Pretrained(BaseModel):
    kind: Literal["pretrained"] = "pretrained"
    point: FitPoint


class FitEnded(BaseModel):
    """Of the processes that share a fit, to the child: the operator's file is there."""

    kind: Literal["fit_ended"] = "fit_ended"
    report: FitReport


class Measured(BaseModel):
    kind: Literal["measured"] = "measured"
    candidate: Candidate


class Used(BaseModel):
    """What the child has used so far; `host_memory_bytes` at its peak, of the GPU as it is now."""

    kind: Literal["used"] = "used"
    bytes_read: int
    bytes_written: int
    fit_steps: int
    training_steps: int
    host_memory_bytes: int
    gpu_memory_bytes: int | None
    gpu_memory_limit_bytes: int | None


class MayCommit(BaseModel):
    """Asks whether the lease still holds; answered by `Go`, or by the end."""

    kind: Literal["may_commit"] = "may_commit"


class Succeeded(BaseModel):
    kind: Literal["succeeded"] = "succeeded"
    result: Result | TrialResult


class Failed(BaseModel):
    kind: Literal["failed"] = "failed"
    failure: Failure
    transient: bool
    """Whether another attempt may succeed with nothing changed by anyone."""


Message = Annotated[
    Progressed | Pretrained | Measured | Fitted | Used | MayCommit | Succeeded | Failed, Field(discriminator="kind")
]
FitMessage = Annotated[Fitted | FitEnded | Failed, Field(discriminator="kind")]
AnyWork = Annotated[Work | TrialWork, Field(discriminator="kind")]
FIT_MESSAGE: TypeAdapter[FitMessage] = TypeAdapter(FitMessage)
MESSAGE: TypeAdapter[Message] = TypeAdapter(Message)
WORK: TypeAdapter[AnyWork] = TypeAdapter(AnyWork)
