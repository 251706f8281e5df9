"""What can go wrong with a job's record, each told in one sentence.

JobError
├── JobNotFound           no record under this id
├── IdempotencyConflict   the same idempotency key came with another request
├── OutputReserved        a live job already writes there, inside of it or around it
├── NotRetryable          only a job that failed or was cancelled is tried again
├── LeaseLost             a write with the token of an attempt that no longer holds the job
├── NotClaimable          the job can't be started now; `reason` says why
├── InvalidCursor         a page or event cursor that was not handed out here
└── StoreUnavailable      Redis can't be reached, or refuses writes
"""

from typing import Literal

Reason = Literal["not_found", "terminal", "cancelled", "poison", "leased"]


class JobError(Exception):
    """Base of everything the job store raises."""


class JobNotFound(JobError):
    def __init__(self, job_id: str) -> None:
        super().__init__(f"There is no job {job_id!r}.")
        self.job_id = job_id


class IdempotencyConflict(JobError):
    def __init__(self, key: str) -> None:
        super().__init__(
            f"The idempotency key {key!r} was used for another request; send a new key with a new request."
        )
        self.key = key


class OutputReserved(JobError):
    """`output` is what the live job `job_id` has reserved; that job may belong to another owner."""

    def __init__(self, requested: str, output: str, job_id: str) -> None:
        super().__init__(
            f"{requested} overlaps with {output}, which another live job writes; "
            "choose another output, or wait for that job to end."
        )
        self.output = output
        self.job_id = job_id


class NotRetryable(JobError):
    def __init__(self, job_id: str, status: str) -> None:
        super().__init__(f"Job {job_id} is {status}; only a job that failed or was cancelled can be tried again.")
        self.job_id = job_id


class LeaseLost(JobError):
    def __init__(self, job_id: str, attempt: int) -> None:
        super().__init__(f"Attempt {attempt} no longer holds job {job_id}; stop working on it.")
        self.job_id = job_id
        self.attempt = attempt


class NotClaimable(JobError):
    """`terminal`: it ended before; `cancelled`, `poison`: this very claim ended it; `leased`: another worker has it."""

    def __init__(self, job_id: str, reason: Reason) -> None:
        super().__init__(f"Job {job_id} can't be claimed: {reason}.")
        self.job_id = job_id
        self.reason: Reason = reason


class InvalidCursor(JobError):
    def __init__(self, cursor: str) -> None:
        super().__init__(f"{cursor!r} is not a cursor of this list; pass `next_cursor` or an event's id unchanged.")
        self.cursor = cursor


class StoreUnavailable(JobError):
    def __init__(self, reason: str) -> None:
        super().__init__(f"The job store does not answer ({reason}); try again shortly.")
