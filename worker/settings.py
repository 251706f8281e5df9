"""What a worker adds to the shared settings, and the stores that they open."""

from typing import Annotated, Literal, Self

from pydantic import Field, field_validator, model_validator

from jobs.settings import SharedSettings
from storage import S3Settings, Storage, StorageSettings, Uri


class WorkerSettings(SharedSettings):
    """Built once in each process of a worker: its pool process, and the child that does the work."""

    device: Literal["auto", "cpu", "cuda"] = "auto"
    """Where tensors are grown and fitted; `auto` takes a GPU where there is one."""
    stop_grace_seconds: Annotated[float, Field(ge=0)] = 2.0
    """How long the process group of a job that is cancelled has after SIGTERM before it is killed."""
    leave_grace_seconds: Annotated[float, Field(ge=0)] = 7.0
    """The same where the worker is told to leave; within it a fit or a training saves where it stands."""
    retry_wait_seconds: Annotated[float, Field(ge=0)] = 10.0
    """Before the second attempt after a store did not answer; doubles with each further one."""
    fit_checkpoint_seconds: Annotated[float, Field(gt=0)] = 60.0
    """How often a fit or a training saves where it stands; at most so much of it is lost with its process."""
    fit_processes: Annotated[int, Field(ge=1)] = 1
    """Processes of this machine that share a fit, each with its part of every batch; one for each GPU."""
    fit_spreads_source: bool = False
    """Whether each of them holds a part of the source's weights alone, and gets the rest layer by layer; for sources
    that do not fit into one GPU."""
    fit_nodes: Annotated[int, Field(ge=1)] = 1
    """Machines that share a fit; the others run `python -m worker.fit_node`."""
    fit_rendezvous: str | None = None
    """`host:port` of the worker, where the machines of a fit meet; needed where there are several."""
    log_format: Literal["console", "json"] = "console"
    """`json` writes one object a line, for a log collector."""

    @field_validator("state_uri")
    @classmethod
    def _names_storage(cls, text: str) -> str:
        Uri.parse(text)
        return text

    @model_validator(mode="after")
    def _one_place_to_meet(self) -> Self:
        if self.fit_nodes > 1 and self.fit_rendezvous is None:
            raise ValueError("GROW_FIT_NODES is more than one: set GROW_FIT_RENDEZVOUS to the worker's host:port.")
        return self


def device_of(settings: WorkerSettings, number: int = 0) -> str:
    """The device of one of the processes of this machine."""
    # Late, because the worker's own process never needs torch.
    import torch

    if settings.device == "cpu" or (settings.device == "auto" and not torch.cuda.is_available()):
        return "cpu"
    return f"cuda:{number}"


def shared(settings: WorkerSettings) -> bool:
    """Whether several processes share a fit."""
    return settings.fit_processes > 1 or settings.fit_nodes > 1


def open_storage(settings: SharedSettings) -> Storage:
    """The stores of these settings; no request can name another endpoint."""
    return Storage(StorageSettings(S3Settings(**settings.s3_access())))
