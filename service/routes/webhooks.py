"""Webhooks: the secret that the caller's are signed with, and one that is sent again."""

from http import HTTPStatus

from fastapi import APIRouter

from jobs.schema import WebhookSecret
from jobs.tuning import AnyJob
from service.auth import CurrentCaller, ProtectedRoute
from service.parts import SharedParts
from service.problems import declared
from service.routes.jobs import JobId, owned

router = APIRouter(tags=["webhooks"], route_class=ProtectedRoute)


@router.get("/webhook-secret", responses=declared(401, 403, 500, 503))
def read_webhook_secret(caller: CurrentCaller, parts: SharedParts) -> WebhookSecret:
    """What this client's webhooks are signed with; made when first asked for."""
    return WebhookSecret(secret=parts.webhooks.secrets_of(caller.name)[0])


@router.post("/webhook-secret", responses=declared(401, 403, 500, 503))
def change_webhook_secret(caller: CurrentCaller, parts: SharedParts) -> WebhookSecret:
    """Another secret; webhooks are signed with the one of before as well for a day."""
    return WebhookSecret(secret=parts.webhooks.change_secret(caller.name))


@router.post(
    "/jobs/{job_id}/webhook",
    status_code=HTTPStatus.ACCEPTED,
    responses=declared(401, 403, 404, 409, 422, 500, 503),
)
def send_webhook_again(job_id: JobId, caller: CurrentCaller, parts: SharedParts) -> AnyJob:
    """Send the webhook of an ended job once more, with the same id and body."""
    owned(parts, caller, job_id)
    parts.webhooks.send_again(job_id)
    return parts.store.get(job_id)
