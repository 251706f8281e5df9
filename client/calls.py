"""Every call of the HTTP interface as data: what is sent, and how the answer is read. No I/O."""

import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Generic, Literal, TypeVar
from urllib.parse import quote

from pydantic import BaseModel, RootModel

from jobs.schema import ArchitectureList, GrowthRequest, Job, MethodList, Plan, Status, WebhookSecret
from jobs.tuning import AnyJob, JobPage, TuneJob, TuneRequest

Answer = TypeVar("Answer", bound=BaseModel)
Request = GrowthRequest | Mapping[str, Any]
Search = TuneRequest | Mapping[str, Any]
JobKind = Literal["grow", "tune"]


class FoundJob(RootModel[AnyJob]):
    """A job of whatever kind."""


class Readiness(BaseModel):
    """What `/readyz` says of a service that can do its work."""

    warnings: list[str]
    """What about the job store's configuration may lose records, one sentence each."""


class _Info(BaseModel):
    version: str


class Description(BaseModel):
    """Of the service's own description, what tells its version."""

    info: _Info


@dataclass(frozen=True)
class Call(Generic[Answer]):
    """One HTTP request; each is safe to repeat as it is."""

    method: str
    path: str
    answer: type[Answer]
    params: Mapping[str, str] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    body: Mapping[str, Any] | None = None
    held_seconds: float = 0.0
    """How long the service may hold the answer back on purpose."""


@dataclass(frozen=True)
class JobFilter:
    """Which jobs to list; what is left out does not matter."""

    status: Status | None = None
    method: str | None = None
    label: tuple[str, str] | None = None
    created_from: datetime | None = None
    created_before: datetime | None = None
    kind: JobKind | None = None
    owner: str | None = None
    """Another owner, for keys with the scope `admin`."""

    def params(self) -> dict[str, str]:
        """As the query of `GET /jobs`."""
        given = {
            "status": self.status,
            "kind": self.kind,
            "owner": self.owner,
            "method": self.method,
            "label": None if self.label is None else "=".join(self.label),
            "created_from": None if self.created_from is None else self.created_from.isoformat(),
            "created_before": None if self.created_before is None else self.created_before.isoformat(),
        }
        return {name: value for name, value in given.items() if value is not None}


EVERY_JOB = JobFilter()


def plan(request: Request) -> Call[Plan]:
    return Call("POST", "/plan", Plan, body=_body(request))


def submit(request: Request, idempotency_key: str | None = None) -> Call[Job]:
    """Without a key one is made here, so that the call is repeated with the same one."""
    key = idempotency_key or uuid.uuid4().hex
    return Call("POST", "/grow", Job, headers={"Idempotency-Key": key}, body=_body(request))


def tune(request: Search, idempotency_key: str | None = None) -> Call[TuneJob]:
    """As `submit`."""
    key = idempotency_key or uuid.uuid4().hex
    return Call("POST", "/tune", TuneJob, headers={"Idempotency-Key": key}, body=_body(request))


def job(job_id: str, wait_seconds: int = 0) -> Call[FoundJob]:
    """With `wait_seconds` the answer comes once the job changes, has ended, or time is up."""
    params = {"wait": str(wait_seconds)} if wait_seconds else {}
    return Call("GET", _path(job_id), FoundJob, params=params, held_seconds=wait_seconds)


def jobs(where: JobFilter, cursor: str | None, limit: int) -> Call[JobPage]:
    paging = {"limit": str(limit)} | ({"cursor": cursor} if cursor else {})
    return Call("GET", "/jobs", JobPage, params=where.params() | paging)


def cancel(job_id: str) -> Call[FoundJob]:
    return Call("POST", _path(job_id, "cancel"), FoundJob)


def retry(job_id: str) -> Call[FoundJob]:
    return Call("POST", _path(job_id, "retry"), FoundJob)


def send_webhook(job_id: str) -> Call[FoundJob]:
    return Call("POST", _path(job_id, "webhook"), FoundJob)


def webhook_secret(*, change: bool) -> Call[WebhookSecret]:
    return Call("POST" if change else "GET", "/webhook-secret", WebhookSecret)


def events_path(job_id: str) -> str:
    return _path(job_id, "events")


def methods() -> Call[MethodList]:
    return Call("GET", "/methods", MethodList)


def architectures() -> Call[ArchitectureList]:
    return Call("GET", "/architectures", ArchitectureList)


def readiness() -> Call[Readiness]:
    return Call("GET", "/readyz", Readiness)


def description() -> Call[Description]:
    return Call("GET", "/openapi.json", Description)


def _path(job_id: str, *more: str) -> str:
    return "/".join(("/jobs", quote(job_id, safe=""), *more))


def _body(request: Request | Search) -> Mapping[str, Any]:
    # Fields that were left out stay out, so that a service of another version fills in its own defaults.
    return request.model_dump(mode="json", exclude_unset=True) if isinstance(request, BaseModel) else request
