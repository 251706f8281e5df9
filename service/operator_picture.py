"""The pictures of a job's operator, read from where its worker has written them, a bounded number of bytes."""

from pydantic import ValidationError

from jobs.schema import Job, OperatorPicture
from jobs.tuning import AnyJob
from service.errors import NoOperatorPicture, StorageRefused, StorageSilent
from storage import NotFound, Storage, StorageError, Unavailable, Uri

MAX_BYTES = 1 << 20


def read_picture(storage: Storage, job: AnyJob) -> OperatorPicture:
    """Raises NoOperatorPicture, StorageSilent, StorageRefused."""
    if not isinstance(job, Job) or job.result is None or job.result.picture is None:
        raise NoOperatorPicture("This job has no picture of its operator; a growth that succeeds has one.")
    uri = Uri.parse(job.result.picture)
    try:
        data = storage.read(uri, 0, min(storage.head(uri).size, MAX_BYTES))
        return OperatorPicture.model_validate_json(data)
    except (NotFound, ValidationError) as error:
        raise NoOperatorPicture("The picture of this job's operator is no longer beside its output.") from error
    except Unavailable as error:
        raise StorageSilent(error, None) from error
    except StorageError as error:
        raise StorageRefused(error, None) from error
