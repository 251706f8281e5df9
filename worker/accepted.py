"""What a worker keeps of a job that it has begun, for a Redis that is lost with all its data: the job as claimed.

It lies where the job keeps its state, so that it goes with it when the job has ended. Each attempt writes it anew,
because a later one must not have the number of one that may yet be alive.
"""

from collections.abc import Iterator

import structlog
from pydantic import ValidationError

from jobs.schema import Job
from storage import NotFound, ObjectStore, StorageError, Uri
from worker.fit_state import state_folder

ACCEPTED_FILE = "accepted.json"
MAX_BYTES = 16 << 20

log = structlog.get_logger()


def keep(job: Job, storage: ObjectStore, state_uri: str) -> None:
    """Without it the job can't be begun again after such a loss, which is no reason not to begin it now."""
    try:
        storage.put(state_folder(state_uri, job.id).join(ACCEPTED_FILE), job.model_dump_json().encode())
    except StorageError as error:
        log.warning("The job is not kept beside its state", reason=str(error))


def kept_jobs(storage: ObjectStore, state_uri: str) -> Iterator[Job]:
    """Those that had been begun and had not ended. Raises StorageError."""
    for info in storage.list(Uri.parse(state_uri)):
        if info.uri.name == ACCEPTED_FILE:
            try:
                yield Job.model_validate_json(storage.read(info.uri, 0, MAX_BYTES))
            except (NotFound, ValidationError) as error:
                log.warning("No job can be made of a file", file=str(info.uri), reason=type(error).__name__)
