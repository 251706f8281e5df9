"""One line for each request, with an id that its answer carries too, and its count; never a header, query or body."""

import os
import random
import time
from typing import Any

import structlog
from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from jobs.origin import REQUEST_ID
from service.metrics import RequestMetrics
from telemetry.traces import OFF, Traces

log = structlog.get_logger(__name__)
# Ids need not be secret, and each call to the system's own source would hand the process to another thread.
_random = random.Random(os.urandom(32))  # noqa: S311


class AccessLog:
    """ASGI middleware; a client's own `X-Request-ID` is kept where it is a plain word."""

    def __init__(self, app: ASGIApp, metrics: RequestMetrics, traces: Traces = OFF) -> None:
        self._app = app
        self._metrics = metrics
        self._traces = traces

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request_id = _request_id(scope)
        scope.setdefault("state", {})["request_id"] = request_id
        started, status = time.monotonic(), 500

        async def send_with_id(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                MutableHeaders(scope=message)["X-Request-ID"] = request_id
            await send(message)

        parent, method = Headers(scope=scope).get("traceparent"), scope["method"]
        with (
            structlog.contextvars.bound_contextvars(request_id=request_id),
            self._traces.span(method, {"request_id": request_id}, parent=parent, kind="server") as span,
        ):
            scope["state"]["traceparent"] = span.traceparent
            try:
                await self._app(scope, receive, send_with_id)
            finally:
                seconds = time.monotonic() - started
                span.rename(f"{method} {_route(scope)}")
                span.note(_http(method, scope, status))
                if status >= 500:
                    span.fail(str(status))
                self._metrics.count(scope["method"], _route(scope), status, seconds)
                log.info("request", status=status, seconds=round(seconds, 4), **_about(scope))


def _request_id(scope: Scope) -> str:
    given = Headers(scope=scope).get("x-request-id", "")
    return given if REQUEST_ID.fullmatch(given) else f"{_random.getrandbits(128):032x}"


def _http(method: str, scope: Scope, status: int) -> dict[str, str | int]:
    """As OpenTelemetry names it."""
    return {"http.request.method": method, "http.route": _route(scope), "http.response.status_code": status}


def _route(scope: Scope) -> str:
    """The template of the path, because paths are as many as jobs."""
    return getattr(scope.get("route"), "path", "none")


def _about(scope: Scope) -> dict[str, Any]:
    state = scope["state"]
    caller, job_id = state.get("caller"), scope.get("path_params", {}).get("job_id") or state.get("job_id")
    known = {"owner": caller and caller.name, "job_id": job_id}
    told = {name: value for name, value in known.items() if value is not None}
    return {"method": scope["method"], "path": scope["path"], **told}
