"""The one table from what is raised in a job to what its user reads, and whether the attempt is worth repeating.

| raised                          | code             | another attempt |
|---------------------------------|------------------|-----------------|
| growth.errors.GrowthError       | its own          | no              |
| worker.errors.WorkerError       | its own          | no              |
| worker.errors.FitFailed         | what it carries  | what it says    |
| growth.verify.NotFinite         | `not_finite`     | no              |
| storage.errors.Changed          | `source_changed` | no              |
| storage.errors.AlreadyExists    | `output_exists`  | no              |
| storage.errors.StorageError     | its own          | if `transient`  |
| MemoryError, OutOfMemoryError   | `out_of_memory`  | no              |
| anything else                   | `internal_error` | no              |
"""

from collections.abc import Callable
from typing import TypeVar

import structlog
from torch import OutOfMemoryError

from growth.errors import GrowthError
from growth.verify import NotFinite
from jobs.schema import Failure
from storage import AlreadyExists, Changed, StorageError
from worker.errors import FitFailed, OutputExists, SourceChanged, WorkerError
from worker.messages import Failed

INTERNAL_ERROR = "internal_error"
NO_MEMORY = "can't allocate memory"
"""What torch says on a CPU, in an exception that has no class of its own."""
SMALLER = "Ask for a smaller target, or use a machine with more memory; the plan has an estimate of what is needed."

log = structlog.get_logger()
T = TypeVar("T")


def concluded(work: Callable[[], T]) -> T | Failed:
    """What `work` returns; or, where it raises, how the job ends because of it."""
    try:
        return work()
    except Exception as error:
        failed = explain(error)
        if failed.failure.code == INTERNAL_ERROR:
            log.exception("An error that no table knows")
        return failed


def explain(error: Exception) -> Failed:
    """How a job ends that raised `error`; what is not in the table is told without its details, which are for logs."""
    match error:
        case FitFailed():
            return Failed(failure=error.failure, transient=error.transient)
        case GrowthError() | WorkerError():
            return _failed(error.code, error, hint=error.hint, field=error.field)
        case NotFinite():
            return _failed("not_finite", error, field="/dtype")
        case Changed():
            return _failed(SourceChanged.code, error, hint=SourceChanged.hint)
        case AlreadyExists():
            return _failed(OutputExists.code, error, hint=OutputExists.hint, field=OutputExists.field)
        case StorageError():
            return _failed(error.code, error, transient=error.transient)
        case RuntimeError() if NO_MEMORY in str(error):
            return explain(MemoryError())
        case MemoryError() | OutOfMemoryError():
            return _failed("out_of_memory", "The job needs more memory than the worker has.", hint=SMALLER)
    return _failed(
        INTERNAL_ERROR,
        f"The worker failed with {type(error).__name__}, which is an error of this service, not of the request.",
        hint="The worker's log has the details beside the job's id.",
    )


def _failed(
    code: str, detail: Exception | str, *, hint: str | None = None, field: str | None = None, transient: bool = False
) -> Failed:
    return Failed(failure=Failure(code=code, detail=str(detail), hint=hint, field=field or None), transient=transient)
