"""No request body is read past a limit, whether its length is told or not."""

from http import HTTPStatus

from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.problems import http_problem, respond

MAX_BYTES = 1 << 20


class BodyLimit:
    """ASGI middleware; bodies of more than `MAX_BYTES` are answered with 413."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        too_large = HTTPException(HTTPStatus.REQUEST_ENTITY_TOO_LARGE)
        told = Headers(scope=scope).get("content-length", "")
        if told.isdecimal() and int(told) > MAX_BYTES:
            await respond(http_problem(too_large))(scope, receive, send)
            return
        received = 0

        async def counted() -> Message:
            nonlocal received
            message = await receive()
            received += len(message.get("body", b""))
            if received > MAX_BYTES:
                raise too_large
            return message

        await self._app(scope, counted, send)
