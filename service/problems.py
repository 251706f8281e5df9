"""The edge table: what each exception becomes over HTTP, as RFC 9457 problem details. Nothing else makes an error body.

Every body has a stable `code`, one sentence, and where a field of the request is to blame a JSON pointer to it.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse, Response

from growth.errors import GrowthError
from jobs.errors import (
    IdempotencyConflict,
    InvalidCursor,
    JobNotFound,
    NotRetryable,
    OutputReserved,
    QuotaExceeded,
    StoreUnavailable,
    WebhookNotDue,
)
from jobs.schema import Problem
from service import errors
from service.invalid_request import GROWTH, SEARCH, explain

MEDIA_TYPE = "application/problem+json"
RETRY_AFTER_SECONDS = 5


@dataclass(frozen=True, slots=True)
class Edge:
    """The status, and the code and the sentence where they are not the exception's own."""

    status: int
    code: str | None = None
    detail: str | None = None


EDGES: Mapping[type[Exception], Edge] = {
    errors.Unauthorized: Edge(401),
    errors.ProviderSilent: Edge(503),
    errors.NotLoopback: Edge(403),
    errors.ScopeRequired: Edge(403),
    errors.PrefixNotAllowed: Edge(403),
    errors.WebhookRefused: Edge(422),
    errors.DataRequired: Edge(422),
    errors.InvalidSearchSpace: Edge(422),
    errors.SourceNotFound: Edge(422),
    errors.OutputOverlaps: Edge(422),
    errors.OutputExists: Edge(409),
    errors.NoOperatorPicture: Edge(404),
    errors.StorageRefused: Edge(422),
    errors.StorageSilent: Edge(503),
    GrowthError: Edge(422),
    # The same sentence whether there is none or it is another's.
    JobNotFound: Edge(404, "job_not_found", "There is no job with this id."),
    IdempotencyConflict: Edge(422, "idempotency_conflict"),
    # The exception names the other job's output, which may be another owner's.
    OutputReserved: Edge(
        409,
        "output_reserved",
        "The output overlaps with one that another job is about to write; choose another, or wait for that job to end.",
    ),
    NotRetryable: Edge(409, "not_retryable"),
    QuotaExceeded: Edge(429, "quota_exceeded"),
    WebhookNotDue: Edge(409, "webhook_not_due"),
    InvalidCursor: Edge(422, "invalid_cursor"),
    StoreUnavailable: Edge(503, "store_unavailable", "The job store does not answer; try again shortly."),
}
_FIELDS: Mapping[type[Exception], str] = {OutputReserved: "/output"}
_HTTP_CODES = {404: "no_such_path", 405: "method_not_allowed", 413: "body_too_large"}
_HTTP_DETAILS = {
    404: "There is nothing at this path; /openapi.json lists what is there.",
    405: "This path does not take this method; the Allow header names those it takes.",
    413: "The request's body is too large; a growth request is far smaller than 1 MiB.",
}


class ProblemResponse(JSONResponse):
    """ASCII, because a refused request may hold half a surrogate pair, which has no bytes in UTF-8."""

    media_type = MEDIA_TYPE

    def render(self, content: Any) -> bytes:
        return json.dumps(content, ensure_ascii=True, separators=(",", ":")).encode("ascii")


def install(app: FastAPI) -> None:
    """Makes the app answer every exception from this table."""
    for kind in EDGES:
        app.add_exception_handler(kind, _refuse)
    app.add_exception_handler(RequestValidationError, _refuse_body)
    app.add_exception_handler(HTTPException, _refuse_http)
    app.add_exception_handler(Exception, _fail)


def to_problem(error: Exception) -> Problem:
    """The problem of an exception that the table lists, itself or by a base class."""
    edge = next(EDGES[kind] for kind in type(error).__mro__ if kind in EDGES)
    return make_problem(
        edge.status,
        edge.code or str(getattr(error, "code", "")),
        edge.detail or str(error),
        field=getattr(error, "field", None) or _FIELDS.get(type(error)),
        hint=getattr(error, "hint", None),
        nearest=getattr(error, "nearest", None) or None,
    )


def http_problem(error: HTTPException) -> Problem:
    """The problem of what the framework itself refuses."""
    if error.status_code == HTTPStatus.BAD_REQUEST:
        # What FastAPI says of bytes that are no UTF-8, or nested too deeply.
        sentence = "The body can't be read as JSON; send a JSON object in UTF-8."
        return make_problem(422, "invalid_request", sentence, field="")
    code = _HTTP_CODES.get(error.status_code, "http_error")
    return make_problem(error.status_code, code, _HTTP_DETAILS.get(error.status_code, error.detail))


def make_problem(
    status: int,
    code: str,
    detail: str,
    *,
    field: str | None = None,
    hint: str | None = None,
    nearest: dict[str, int] | None = None,
) -> Problem:
    """A problem with its type and title made from its code."""
    return Problem(
        type=f"urn:model-growth:problem:{code}",
        title=code.replace("_", " ").capitalize(),
        status=status,
        code=code,
        detail=detail,
        field=field,
        hint=hint,
        nearest=nearest,
    )


def respond(problem: Problem, headers: Mapping[str, str] | None = None) -> Response:
    """The response that carries a problem, with the headers that its status asks for."""
    more = {401: {"WWW-Authenticate": "Bearer"}, 503: {"Retry-After": str(RETRY_AFTER_SECONDS)}}
    return ProblemResponse(
        problem.model_dump(exclude_none=True),
        problem.status,
        headers={**(headers or {}), **more.get(problem.status, {})},
    )


def declared(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """`responses=` of a route that may answer with these statuses besides its own."""
    content = {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}}
    return {status: {"description": HTTPStatus(status).phrase, "content": content} for status in sorted(statuses)}


async def _refuse(request: Request, error: Exception) -> Response:
    headers = {"Retry-After": str(error.retry_after_seconds)} if isinstance(error, QuotaExceeded) else None
    problem, redact = to_problem(error), request.app.state.redact
    hint = None if problem.hint is None else redact(problem.hint)
    return respond(problem.model_copy(update={"detail": redact(problem.detail), "hint": hint}), headers)


async def _refuse_body(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    found: Sequence[Mapping[str, Any]] = error.errors()
    told = explain(found, SEARCH if request.url.path.endswith("/tune") else GROWTH)
    return respond(make_problem(422, "invalid_request", told.sentence, field=told.field, hint=told.hint))


async def _refuse_http(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    headers = dict(error.headers or {})
    if error.status_code == HTTPStatus.METHOD_NOT_ALLOWED:
        headers |= _allow(request)
    return respond(http_problem(error), headers)


def _allow(request: Request) -> dict[str, str]:
    """All that the path takes: the framework names the methods of the first function at it."""
    described = request.app.openapi()["paths"].get(getattr(request.scope.get("route"), "path", None), {})
    return {"Allow": ", ".join(sorted(map(str.upper, described)))} if described else {}


async def _fail(request: Request, _error: Exception) -> Response:
    request_id = getattr(request.state, "request_id", None)
    hint = f"Tell the operator the request id {request_id}." if request_id else None
    problem = make_problem(500, "internal_error", "The service failed on this request; its log says why.", hint=hint)
    return respond(problem, {"X-Request-ID": request_id} if request_id else None)
