"""The webhooks of the API's description: what is sent, with which headers, and what the answers mean."""

from collections.abc import Callable
from typing import Annotated, Any, get_args

from fastapi import FastAPI, Header

from jobs.schema import WebhookMessage
from jobs.tuning import SearchWebhookMessage

_Id = Annotated[str, Header(alias="webhook-id", description="The same in every attempt at one message.")]
_Timestamp = Annotated[str, Header(alias="webhook-timestamp", description="Of this attempt, in seconds since 1970.")]
_Signature = Annotated[
    str,
    Header(alias="webhook-signature", description="Of id, timestamp and body, by the secret at `/webhook-secret`."),
]
_ANSWERS: dict[int | str, dict[str, Any]] = {
    "2XX": {"description": "Delivered; the body is not read."},
    "410": {"description": "Never sent again."},
    "default": {"description": "Sent again, ten times in three days."},
}


def _growth(body: WebhookMessage, id: _Id, timestamp: _Timestamp, signature: _Signature) -> None:
    """A growth whose request names a `webhook` has ended."""


def _search(body: SearchWebhookMessage, id: _Id, timestamp: _Timestamp, signature: _Signature) -> None:
    """A search whose request names a `webhook` has ended."""


def describe_webhooks(app: FastAPI) -> None:
    """One entry for each type of message."""
    told: list[tuple[type[WebhookMessage | SearchWebhookMessage], Callable[..., None]]] = [
        (WebhookMessage, _growth),
        (SearchWebhookMessage, _search),
    ]
    for model, endpoint in told:
        for kind in get_args(model.model_fields["type"].annotation):
            app.webhooks.add_api_route(
                kind,
                endpoint,
                methods=["POST"],
                operation_id=kind.replace(".", "_"),
                summary=kind,
                status_code=204,
                response_description="Delivered.",
                responses=_ANSWERS,
                tags=["webhooks"],
            )
