"""What a worker adds to the shared settings, and the stores that they open."""

from typing import Annotated, Literal

from pydantic import Field

from jobs.settings import SharedSettings
from storage import S3Settings, Storage, StorageSettings


class WorkerSettings(SharedSettings):
    """Built once in each process of a worker: its pool process, and the child that does the work."""

    device: Literal["auto", "cpu", "cuda"] = "auto"
    """Where tensors are grown and fitted; `auto` takes a GPU where there is one."""
    stop_grace_seconds: Annotated[float, Field(ge=0)] = 2.0
    """How long a job's process group has after SIGTERM before it is killed."""
    retry_wait_seconds: Annotated[float, Field(ge=0)] = 10.0
    """Before the second attempt after a store did not answer; doubles with each further one."""
    fit_checkpoint_seconds: Annotated[float, Field(gt=0)] = 60.0
    """How often a fit or a training saves where it stands; at most so much of it is lost with its process."""
    log_format: Literal["console", "json"] = "console"
    """`json` writes one object a line, for a log collector."""


def open_storage(settings: SharedSettings) -> Storage:
    """The stores of these settings; no request can name another endpoint."""
    key_id, secret = settings.s3_access_key_id, settings.s3_secret_access_key
    s3 = S3Settings(
        endpoint_url=settings.s3_endpoint_url,
        region=settings.s3_region,
        access_key_id=key_id.get_secret_value() if key_id else None,
        secret_access_key=secret.get_secret_value() if secret else None,
    )
    return Storage(StorageSettings(s3=s3))
