"""What a job that has ended has left in its stores: dead attempts' shards and uploads, the state of a fit.

Nobody works on such a job any more, so all of it goes that the commit does not name. The record remembers that there
may be something until a worker has looked; where an attempt was lost, whose process may yet wake and write, until one
has looked again some leases later.
"""

import structlog

from jobs.errors import StoreUnavailable
from jobs.schema import Job, Status
from jobs.store import JobStore
from jobs.tuning import AnyJob
from storage import ObjectStore, StorageError, Uri
from worker.fit_state import forget, state_folder
from worker.output import Output
from worker.settings import WorkerSettings

log = structlog.get_logger()


def remove_remains(job: AnyJob, store: JobStore, storage: ObjectStore, settings: WorkerSettings) -> None:
    """Clears up behind the job, if it has ended; where that fails, another message will come for it."""
    if not job.status.terminal or not job.attempt:
        return
    try:
        if isinstance(job, Job):
            _remove_from_output(job, storage)
        forget(storage, state_folder(settings.state_uri, job.id))
        store.cleared(job.id)
    except (StorageError, StoreUnavailable) as error:
        log.warning("Not all that the job left could be removed", reason=str(error))


def _remove_from_output(job: Job, storage: ObjectStore) -> None:
    output = Output(storage, Uri.parse(job.request.output), job.id)
    if job.status is not Status.SUCCEEDED:
        output.remove()
    elif job.attempt > 1:
        output.tidy(job.attempt)
