"""`GET /metrics`, for Prometheus; open like the probes, so keep it off the public side of a proxy."""

from fastapi import APIRouter, Request, Response
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from service.problems import declared

router = APIRouter(tags=["health"])


@router.get(
    "/metrics",
    response_class=Response,
    responses={
        **declared(500),
        200: {"description": "Every metric, as text.", "content": {"text/plain": {"schema": {"type": "string"}}}},
    },
)
def read_metrics(request: Request) -> Response:
    """The service's metrics in Prometheus' text format."""
    return Response(generate_latest(request.app.state.registry), media_type=CONTENT_TYPE_LATEST)
