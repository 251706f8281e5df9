"""A gateway in front of a real service that goes wrong as it is told: answers of its own, lost answers, cut streams."""

import http.client
import threading
from collections import deque
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import urlsplit

HOP_HEADERS = frozenset({"connection", "transfer-encoding", "host", "keep-alive"})


@dataclass(frozen=True)
class Answers:
    """The gateway answers by itself; the service hears nothing."""

    status: int
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b"<html>Bad gateway</html>"


class LosesAnswer:
    """The service does what is asked; the connection ends before the answer."""


@dataclass(frozen=True)
class CutsStream:
    """The connection ends after so many events."""

    events: int


Fault = Answers | LosesAnswer | CutsStream


@dataclass(frozen=True)
class Seen:
    method: str
    path: str
    headers: Mapping[str, str]


class Gateway:
    """`faults` are used up one a request, then every request goes through.

    `ending`: only requests whose path ends so meet a fault.
    """

    def __init__(self, upstream: str, ending: str = "") -> None:
        self.faults: deque[Fault] = deque()
        self._ending = ending
        self.seen: list[Seen] = []
        self._upstream = urlsplit(upstream)
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    @contextmanager
    def running(self) -> Iterator["Gateway"]:
        thread = threading.Thread(target=self._server.serve_forever, args=(0.05,))
        thread.start()
        try:
            yield self
        finally:
            self._server.shutdown()
            thread.join()
            self._server.server_close()

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        gateway = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                gateway._handle(self)

            do_POST = do_GET

            def log_message(self, *_: Any) -> None:
                """Says nothing."""

        return Handler

    def _handle(self, handler: BaseHTTPRequestHandler) -> None:
        headers = {name.lower(): value for name, value in handler.headers.items()}
        body = handler.rfile.read(int(headers.get("content-length", 0)))
        self.seen.append(Seen(handler.command, handler.path, headers))
        met = self.faults and handler.path.endswith(self._ending)
        fault = self.faults.popleft() if met else None
        if isinstance(fault, Answers):
            _send_head(handler, fault.status, fault.headers)
            handler.wfile.write(fault.body)
            return
        upstream = http.client.HTTPConnection(self._upstream.hostname or "", self._upstream.port, timeout=60)
        upstream.request(handler.command, handler.path, body, {k: v for k, v in headers.items() if k != "host"})
        response = upstream.getresponse()
        if isinstance(fault, LosesAnswer):
            response.read()
        else:
            _send_head(handler, response.status, dict(response.getheaders()))
            _copy(response, handler, fault.events if isinstance(fault, CutsStream) else None)
        upstream.close()


def _send_head(handler: BaseHTTPRequestHandler, status: int, headers: Mapping[str, str]) -> None:
    handler.send_response(status)
    for name, value in headers.items():
        if name.lower() not in HOP_HEADERS:
            handler.send_header(name, value)
    handler.end_headers()


def _copy(response: http.client.HTTPResponse, handler: BaseHTTPRequestHandler, events: int | None) -> None:
    """Line by line, so that an event is sent on when it comes; an event ends with an empty line."""
    left = events
    for line in response:
        handler.wfile.write(line)
        if left is not None and line == b"\n":
            left -= 1
            if left == 0:
                return
