"""What the `grow` command's exit codes mean."""

from enum import IntEnum

from client.errors import GrowError, JobFailed, ProblemError, UnexpectedAnswer, Unreachable, WaitTimeout
from jobs.schema import JobState, Status

SERVER_ERRORS = 500


class Exit(IntEnum):
    SUCCEEDED = 0
    FAILED = 1
    BAD_REQUEST = 2
    CANCELLED = 3
    TIMEOUT = 4
    UNREACHABLE = 5


MEANINGS = {
    Exit.SUCCEEDED: "done, the job succeeded",
    Exit.FAILED: "the job, or `grow up`, failed",
    Exit.BAD_REQUEST: "wrong usage, or the service refused the request",
    Exit.CANCELLED: "the job was cancelled",
    Exit.TIMEOUT: "the job has not ended in time, and goes on",
    Exit.UNREACHABLE: "no service answers, or it can't",
}
HELP = "Exit codes: " + "; ".join(f"{code.value} {meaning}" for code, meaning in MEANINGS.items()) + "."


def of_job(job: JobState) -> Exit:
    """The exit code of a job that has ended."""
    return {Status.SUCCEEDED: Exit.SUCCEEDED, Status.FAILED: Exit.FAILED, Status.CANCELLED: Exit.CANCELLED}[job.status]


def of_error(error: GrowError) -> Exit:
    match error:
        case JobFailed():
            return of_job(error.job)
        case WaitTimeout():
            return Exit.TIMEOUT
        case Unreachable() | UnexpectedAnswer():
            return Exit.UNREACHABLE
        case ProblemError():
            return Exit.UNREACHABLE if error.status >= SERVER_ERRORS else Exit.BAD_REQUEST
        case _:
            return Exit.FAILED
