"""Submit a growth, or only plan it: the same body, the same checks."""

from typing import Annotated, Any

from fastapi import APIRouter, Header, Request, Response, status
from pydantic import StringConstraints
from pydantic.json_schema import SkipJsonSchema

from jobs.origin import Origin
from jobs.schema import GrowthRequest, Job, JobState, Plan
from service.auth import CurrentCaller, ProtectedRoute
from service.parts import SharedParts
from service.problems import declared
from service.submission import plan_request, submit

router = APIRouter(tags=["growth"], route_class=ProtectedRoute)

_REFUSALS = declared(401, 403, 409, 413, 422, 500, 503)
TOO_MANY = declared(429)
TOO_MANY[429]["headers"] = {
    "Retry-After": {"description": "Seconds after which to ask again.", "schema": {"type": "integer"}}
}
ACCEPTED_HEADERS: dict[str, Any] = {
    "Location": {"description": "Path of the job.", "schema": {"type": "string"}},
    "Idempotency-Replayed": {
        "description": "`true` where the same request had made this job before.",
        "schema": {"type": "string", "enum": ["true"]},
    },
}

IdempotencyKey = Annotated[
    Annotated[str, StringConstraints(min_length=1, max_length=255, pattern=r"^[\x21-\x7e]+$")] | SkipJsonSchema[None],
    Header(
        alias="Idempotency-Key",
        description="The same key with the same body gives the same job, for a day; with another body it is refused.",
    ),
]


@router.post(
    "/grow",
    status_code=status.HTTP_202_ACCEPTED,
    responses={
        **_REFUSALS,
        **TOO_MANY,
        202: {"description": "The job is on record and will be run.", "headers": ACCEPTED_HEADERS},
    },
)
async def submit_growth(
    body: GrowthRequest,
    request: Request,
    response: Response,
    caller: CurrentCaller,
    parts: SharedParts,
    idempotency_key: IdempotencyKey = None,
) -> Job:
    """Submit a growth. Every check that needs no weights is made now, and fails with one sentence."""
    job, replayed = await submit(parts, caller, body, idempotency_key, origin(request))
    tell_where(job, replayed, request, response)
    return job


def origin(request: Request) -> Origin:
    """Of the job that this request makes."""
    return Origin(request.state.request_id, request.state.traceparent)


def tell_where(job: JobState, replayed: bool, request: Request, response: Response) -> None:
    """Sets the headers of an answer that a job was accepted with, and names the job to the access log."""
    request.state.job_id = job.id
    response.headers["Location"] = f"{request.scope.get('root_path', '')}/jobs/{job.id}"
    if replayed:
        response.headers["Idempotency-Replayed"] = "true"


@router.post("/plan", responses=_REFUSALS)
def plan_growth(body: GrowthRequest, caller: CurrentCaller, parts: SharedParts) -> Plan:
    """What a growth would do, after the same checks as `POST /grow`; nothing is created."""
    return plan_request(parts, caller, body)
