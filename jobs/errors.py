"""What can go wrong with a job's record, each told in one sentence.

JobError
├── JobNotFound           no record under this id
├── IdempotencyConflict   the same idempotency key came with another request
├── OutputReserved        a live job already writes there, inside of it or around it
├── NotRetryable          only a job that failed or was cancelled is tried again
├── QuotaExceeded         the owner has as many jobs waiting, or as many bytes to be written, as it may
├── WebhookNotDue         only the webhook of a job that has one, and has ended, is sent again
├── LeaseLost             a write with the token of an attempt that no longer holds the job
├── NotClaimable          the job can't be started now; `reason` says why
├── InvalidCursor         a page or event cursor that was not handed out here
└── StoreUnavailable      Redis can't be reached, or refuses writes
"""

from typing import Literal

Reason = Literal["not_found", "terminal", "cancelled", "poison", "leased", "held"]
_QUOTAS = {
    "queued": "As many of your jobs wait as may wait at a time; try again when one has started.",
    "bytes": "Your jobs that have not ended would write more bytes than they may; try again when one has ended.",
}


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


class QuotaExceeded(JobError):
    def __init__(self, quota: str, retry_after_seconds: int) -> None:
        super().__init__(_QUOTAS[quota])
        self.quota = quota
        self.retry_after_seconds = retry_after_seconds


class WebhookNotDue(JobError):
    def __init__(self, job_id: str) -> None:
        super().__init__(f"Job {job_id} has no webhook, or has not ended; there is nothing to send again.")
        self.job_id = job_id


class LeaseLost(JobError):
    def __init__(self, job_id: str, attempt: int) -> None:
        super().__init__(f"Attempt {attempt} no longer holds job {job_id}; stop working on it.")
        self.job_id = job_id
        self.attempt = attempt


class NotClaimable(JobError):
    """`terminal`: it ended before; `cancelled`, `poison`: this very claim ended it; `leased`: another worker has it;
    `held`: as many of its owner's jobs run as may."""

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
