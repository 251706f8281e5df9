"""Jobs of the caller: list, read, wait, cancel, events, pictures. Another owner's job is like one that there is not."""

import asyncio
import re
from collections.abc import AsyncGenerator
from http import HTTPStatus
from typing import Annotated, Any

from fastapi import APIRouter, Header, Path, Query, Request, Response
from fastapi.sse import EventSourceResponse
from pydantic import AwareDatetime, BeforeValidator, StringConstraints
from pydantic.json_schema import SkipJsonSchema

from jobs.errors import JobNotFound, NotRetryable
from jobs.keys import Kind
from jobs.listing import Filter
from jobs.origin import Origin
from jobs.record import EVENT_ID, JOB_ID, checked_cursor
from jobs.schema import MAX_LABELS, EventPage, Job, OperatorPicture, Status
from jobs.tuning import AnyJob, JobPage, TrialJob, TuneJob
from service import event_stream
from service.auth import Caller, CurrentCaller, ProtectedRoute
from service.errors import ScopeRequired
from service.etags import etag, matches
from service.operator_picture import read_picture
from service.parts import Parts, SharedParts
from service.problems import declared
from service.routes.grow import ACCEPTED_HEADERS, TOO_MANY, origin, tell_where
from service.submission import retry
from service.tuning import retry_search

router = APIRouter(prefix="/jobs", tags=["jobs"], route_class=ProtectedRoute)

MAX_WAIT_SECONDS = 60
MAX_JOBS = 200
MAX_EVENTS = 1000
LABEL_PATTERN = r"^[A-Za-z0-9._/-]{1,63}=[^\x00-\x1f]{0,256}$"
_DATE = re.compile(r"\d{4}-\d{2}-\d{2}")


def _written_out(value: object) -> object:
    # Pydantic alone would take a bare number for seconds since 1970.
    if isinstance(value, str) and not _DATE.match(value):
        raise ValueError("it must be a moment such as 2026-01-31T12:00:00Z")
    return value


# A parameter that is left out has no value; the text `null` is none either.
LeftOut = SkipJsonSchema[None]
Moment = Annotated[AwareDatetime, BeforeValidator(_written_out)]
# Only told here, so that the job store has the one sentence about a cursor that is none.
_JOB_CURSOR = {"pattern": f"^{JOB_ID.pattern}$"}
_EVENT_CURSOR = {"pattern": f"^{EVENT_ID.pattern}$"}

JobId = Annotated[str, Path(max_length=64)]
IfNoneMatch = Annotated[str | LeftOut, Header(alias="If-None-Match", description="ETags that the client has.")]
_ETAG: dict[str, Any] = {"ETag": {"description": "Of this state of the job.", "schema": {"type": "string"}}}


def owned(parts: Parts, caller: Caller, job_id: str) -> AnyJob:
    """The job, where the caller may see it. Raises JobNotFound."""
    job = parts.store.get(job_id)
    if not caller.sees(job.owner):
        raise JobNotFound(job_id)
    return job


def _pair(label: str) -> tuple[str, str]:
    name, _, value = label.partition("=")
    return name, value


@router.get("", responses=declared(401, 403, 422, 500, 503))
def list_jobs(
    caller: CurrentCaller,
    parts: SharedParts,
    status: Annotated[Status | LeftOut, Query()] = None,
    kind: Annotated[
        Kind | LeftOut, Query(description="Growths or searches; trials are told with their search.")
    ] = None,
    method: Annotated[str | LeftOut, Query(max_length=40)] = None,
    label: Annotated[
        list[Annotated[str, StringConstraints(pattern=LABEL_PATTERN)]],
        Query(max_length=MAX_LABELS, description="`name=value`; of several, each must hold."),
    ] = [],  # noqa: B006
    created_from: Annotated[Moment | LeftOut, Query(description="Not before this moment.")] = None,
    created_before: Annotated[Moment | LeftOut, Query(description="Before this moment.")] = None,
    owner: Annotated[
        str | LeftOut, Query(max_length=256, description="Another owner's jobs; for keys with the scope `admin` alone.")
    ] = None,
    cursor: Annotated[
        str | LeftOut,
        Query(max_length=64, description="`next_cursor` of the page before.", json_schema_extra=_JOB_CURSOR),
    ] = None,
    limit: Annotated[int, Query(ge=1, le=MAX_JOBS)] = 50,
) -> JobPage:
    """Jobs of this client, newest first; a page may be short and still have a next one."""
    if owner is not None and not caller.sees(owner):
        raise ScopeRequired(f"The jobs of {owner!r} are listed to keys with the scope 'admin' alone.")
    where = Filter(
        owner=owner or caller.name,
        status=status,
        kind=kind,
        method=method,
        labels=tuple(_pair(given) for given in label),
        created_from=created_from,
        created_before=created_before,
    )
    return parts.store.list_jobs(where, cursor=cursor, limit=limit)


@router.get(
    "/{job_id}",
    response_model=AnyJob,
    responses={
        **declared(401, 403, 404, 422, 500, 503),
        200: {"headers": _ETAG},
        304: {"description": "The job is as the client has it.", "headers": _ETAG},
    },
)
async def read_job(
    job_id: JobId,
    caller: CurrentCaller,
    parts: SharedParts,
    request: Request,
    response: Response,
    if_none_match: IfNoneMatch = None,
    wait: Annotated[
        int,
        Query(
            ge=0,
            le=MAX_WAIT_SECONDS,
            description="Seconds to wait for a change, from the state in If-None-Match or else the present one.",
        ),
    ] = 0,
) -> AnyJob | Response:
    """One job; with `wait`, once it changes, ends, or time is up."""
    job = await asyncio.to_thread(owned, parts, caller, job_id)
    if wait:
        had = if_none_match or etag(job)
        changed = parts.watcher.wait_for(job_id, lambda seen: seen.status.terminal or not matches(seen, had), wait)
        job = await parts.open_calls.unless_ended(request, changed)
    if if_none_match and matches(job, if_none_match):
        return Response(status_code=HTTPStatus.NOT_MODIFIED, headers={"ETag": etag(job)})
    response.headers["ETag"] = etag(job)
    return job


@router.post("/{job_id}/cancel", responses=declared(401, 403, 404, 422, 500, 503))
def cancel_job(job_id: JobId, caller: CurrentCaller, parts: SharedParts) -> AnyJob:
    """End a queued job, ask a running one to stop, leave an ended one as it is; a search together with its trials."""
    owned(parts, caller, job_id)
    return parts.store.request_cancel(job_id)


@router.post(
    "/{job_id}/retry",
    status_code=HTTPStatus.ACCEPTED,
    responses={
        **declared(401, 403, 404, 409, 422, 500, 503),
        **TOO_MANY,
        202: {"description": "A new job is on record and will be run.", "headers": ACCEPTED_HEADERS},
    },
)
def retry_job(job_id: JobId, caller: CurrentCaller, parts: SharedParts, request: Request, response: Response) -> AnyJob:
    """Try a failed or cancelled job again, as a new job with the same request; asked again, the same new job."""
    ended = owned(parts, caller, job_id)
    job, replayed = _again(parts, caller, ended, origin(request))
    tell_where(job, replayed, request, response)
    return job


def _again(parts: Parts, caller: Caller, ended: AnyJob, origin: Origin) -> tuple[AnyJob, bool]:
    match ended:
        case Job():
            return retry(parts, caller, ended, origin)
        case TuneJob():
            return retry_search(parts, caller, ended, origin)
        case TrialJob():
            raise NotRetryable(ended.id, "a trial of a search")


@router.get("/{job_id}/operator", responses=declared(401, 403, 404, 422, 500, 503))
def read_operator(job_id: JobId, caller: CurrentCaller, parts: SharedParts) -> OperatorPicture:
    """What the operator of a succeeded job looks like, as small heat maps."""
    return read_picture(parts.storage, owned(parts, caller, job_id))


@router.get(
    "/{job_id}/events",
    response_model=EventPage,
    responses={
        **declared(401, 403, 404, 422, 500, 503),
        200: {
            "description": "A page; or, for `Accept: text/event-stream`, every event until the job has ended.",
            "content": {event_stream.MEDIA_TYPE: {"schema": {"type": "string"}}},
        },
    },
)
async def read_events(
    job_id: JobId,
    caller: CurrentCaller,
    parts: SharedParts,
    request: Request,
    accept: Annotated[str, Header(include_in_schema=False)] = "",
    last_event_id: Annotated[
        str | LeftOut,
        Header(
            alias="Last-Event-ID",
            max_length=64,
            description="The last event that the client has.",
            json_schema_extra=_EVENT_CURSOR,
        ),
    ] = None,
    after: Annotated[
        str | LeftOut,
        Query(
            max_length=64,
            description="Only events after this one; goes before Last-Event-ID.",
            json_schema_extra=_EVENT_CURSOR,
        ),
    ] = None,
    limit: Annotated[int, Query(ge=1, le=MAX_EVENTS, description="Of a page; a stream has no limit.")] = MAX_EVENTS,
) -> EventPage | Response:
    """What happened to a job, oldest first: a page, or a stream that follows the job to its end."""
    await asyncio.to_thread(owned, parts, caller, job_id)
    for given in (after, last_event_id):
        if given is not None:
            checked_cursor(given, EVENT_ID)
    cursor = last_event_id if after is None else after
    page = await asyncio.to_thread(parts.store.events, job_id, cursor, limit)
    if not event_stream.accepts(accept):
        return page
    events = parts.watcher.events(job_id, cursor)
    assert isinstance(events, AsyncGenerator)
    stream = event_stream.encode(events, parts.heartbeat_seconds, parts.open_calls.held_by(request))
    return EventSourceResponse(stream, headers={"Cache-Control": "no-cache", "X-Accel-Buffering": "no"})
