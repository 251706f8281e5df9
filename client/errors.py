"""What can go wrong for a caller of the service, each told in one sentence, with what to do in `hint`.

GrowError
├── ProblemError       the service refused; `code` is stable
│   └── NotFoundError  there is no such job, or it belongs to another key
├── Unreachable        nothing answers at the address
├── UnexpectedAnswer   something answers that is not this service, or not of this version
├── WaitTimeout        the job goes on, but the caller's time is up
├── JobFailed          `wait(..., check=True)` saw the job end `failed` or `cancelled`
└── LocalServiceError  `grow up` can't start, or lost one of its processes
"""

from typing import Any

from jobs.schema import Problem
from jobs.tuning import AnyJob


class GrowError(Exception):
    """`detail` is the sentence, `hint` what to do about it."""

    def __init__(self, detail: str, hint: str | None = None) -> None:
        super().__init__(detail if hint is None else f"{detail} {hint}")
        self.detail = detail
        self.hint = hint

    def as_dict(self) -> dict[str, Any]:
        """The error for programs, as `--json` prints it."""
        return {"error": type(self).__name__, "detail": self.detail, "hint": self.hint}


class ProblemError(GrowError):
    """The service's problem details: `status` is HTTP's, `field` a JSON pointer into the request."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem.detail, problem.hint)
        self.problem = problem
        self.status = problem.status
        self.code = problem.code
        self.field = problem.field
        self.nearest = problem.nearest
        """For `impossible_target`: sizes that work."""

    def as_dict(self) -> dict[str, Any]:
        return super().as_dict() | self.problem.model_dump(mode="json", exclude_none=True)


class NotFoundError(ProblemError):
    pass


class Unreachable(GrowError):
    def __init__(self, url: str, reason: str, hint: str | None = None) -> None:
        super().__init__(
            f"No service answers at {url} ({reason}).",
            hint or "Start one on this machine with `grow up`, or name another with --url or GROW_URL.",
        )
        self.url = url


class UnexpectedAnswer(GrowError):
    def __init__(self, url: str, found: str) -> None:
        super().__init__(
            f"What answers at {url} is not the service that this client knows: {found}.",
            "Check the address, and that client and service are of one version (`grow version`).",
        )


class WaitTimeout(GrowError):
    def __init__(self, job: AnyJob, timeout_seconds: float) -> None:
        super().__init__(
            f"Job {job.id} is still {job.status} after {timeout_seconds:g} s.",
            "It goes on: wait for it again, or cancel it.",
        )
        self.job = job


class JobFailed(GrowError):
    def __init__(self, job: AnyJob) -> None:
        if job.error is None:
            super().__init__(f"Job {job.id} ended {job.status}.")
        else:
            super().__init__(f"Job {job.id} failed: {job.error.detail}", job.error.hint)
        self.job = job


class LocalServiceError(GrowError):
    pass
