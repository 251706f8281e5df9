"""Submit a search of hyper-parameters."""

from fastapi import APIRouter, Request, Response, status

from jobs.tuning import TuneJob, TuneRequest
from service.auth import CurrentCaller, ProtectedRoute
from service.parts import SharedParts
from service.problems import declared
from service.routes.grow import ACCEPTED_HEADERS, TOO_MANY, IdempotencyKey, origin, tell_where
from service.tuning import submit_search

router = APIRouter(tags=["tuning"], route_class=ProtectedRoute)


@router.post(
    "/tune",
    status_code=status.HTTP_202_ACCEPTED,
    responses={
        **declared(401, 403, 413, 422, 500, 503),
        **TOO_MANY,
        202: {"description": "The search is on record and will be run.", "headers": ACCEPTED_HEADERS},
    },
)
def submit_tuning(
    body: TuneRequest,
    request: Request,
    response: Response,
    caller: CurrentCaller,
    parts: SharedParts,
    idempotency_key: IdempotencyKey = None,
) -> TuneJob:
    """Find hyper-parameters on a small proxy, and carry them over to the target by muTransfer."""
    job, replayed = submit_search(parts, caller, body, idempotency_key, origin(request))
    tell_where(job, replayed, request, response)
    return job
