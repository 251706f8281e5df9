"""An HTTP proxy in front of a real store that spoils chosen answers, as networks and stores do.

It forwards to the loopback alone, and leaves signatures to stores that do not check them.
"""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.client import HTTPConnection, HTTPException, HTTPResponse
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Lock, Thread
from urllib.parse import urlsplit

ERROR_BODY = b'<?xml version="1.0" encoding="UTF-8"?><Error><Code>%s</Code><Message>as told</Message></Error>'
HOP_BY_HOP = frozenset({"connection", "transfer-encoding", "date", "server"})


@dataclass
class Exchange:
    """One request on its way: `forward` sends it on, `answer` and `hang_up` end it."""

    handler: BaseHTTPRequestHandler
    upstream: str
    body: bytes
    headers: dict[str, str]

    def forward(self) -> tuple[HTTPResponse, bytes]:
        connection = HTTPConnection(self.upstream, timeout=60)
        try:
            connection.request(self.handler.command, self.handler.path, self.body, self.headers)
            answer = connection.getresponse()
            return answer, answer.read()
        finally:
            connection.close()

    def answer(self, status: int, headers: dict[str, str], body: bytes, *, sent: int | None = None) -> None:
        """Promises all of `body` and sends the first `sent` bytes of it."""
        self.handler.send_response(status)
        for name, value in headers.items():
            self.handler.send_header(name, value)
        if "Content-Length" not in headers:
            self.handler.send_header("Content-Length", str(len(body)))
        self.handler.end_headers()
        self.handler.wfile.write(body[:sent])

    def hang_up(self) -> None:
        self.handler.close_connection = True

    def pass_on(self) -> None:
        answer, body = self.forward()
        self.answer(answer.status, plain_headers(answer), body)


Fault = Callable[[Exchange], None]


def plain_headers(answer: HTTPResponse) -> dict[str, str]:
    """Those of the answer that the proxy does not make itself."""
    return {name: value for name, value in answer.getheaders() if name.lower() not in HOP_BY_HOP}


def lose_answer(exchange: Exchange) -> None:
    """The store does as told, and nobody hears of it."""
    exchange.forward()
    exchange.hang_up()


def lose_request(exchange: Exchange) -> None:
    exchange.hang_up()


def answer_whole(exchange: Exchange) -> None:
    """A store that has never heard of ranges."""
    exchange.headers.pop("Range", None)
    exchange.pass_on()


def ignore_conditions(exchange: Exchange) -> None:
    """A store that lets every conditional put win."""
    exchange.headers.pop("If-None-Match", None)
    exchange.pass_on()


def cut_body(exchange: Exchange) -> None:
    answer, body = exchange.forward()
    exchange.answer(answer.status, plain_headers(answer), body, sent=len(body) // 2)
    exchange.hang_up()


def answer_error(status: int, code: str, *, after_forwarding: bool) -> Fault:
    """An S3 error document under any status, also 200, whether or not the store has done as told."""

    def fault(exchange: Exchange) -> None:
        if after_forwarding:
            exchange.forward()
        exchange.answer(status, {"Content-Type": "application/xml"}, ERROR_BODY % code.encode())

    return fault


@dataclass
class Rule:
    method: str
    marker: str
    fault: Fault
    times: int


@dataclass
class Proxy:
    endpoint_url: str
    rules: list[Rule] = field(default_factory=list)
    lock: Lock = field(default_factory=Lock)

    def spoil(self, method: str, marker: str, fault: Fault, *, times: int = 1) -> None:
        """The next `times` requests of `method` with `marker` in path or query meet `fault`."""
        self.rules.append(Rule(method, marker, fault, times))

    def fault_for(self, method: str, path: str) -> Fault | None:
        with self.lock:
            for rule in self.rules:
                if rule.times and rule.method == method and rule.marker in path:
                    rule.times -= 1
                    return rule.fault
        return None


class _Server(ThreadingHTTPServer):
    def handle_error(self, request: object, client_address: object) -> None:
        """Keeps the test's output clean of clients that did not want the rest of an answer, and of stores that died."""
        if not isinstance(sys.exc_info()[1], ConnectionError | HTTPException | TimeoutError):
            super().handle_error(request, client_address)  # type: ignore[arg-type]


@contextmanager
def proxy_to(endpoint_url: str) -> Iterator[Proxy]:
    """A proxy on a free port of the loopback."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def serve(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            headers = {name: value for name, value in self.headers.items() if name.lower() != "expect"}
            exchange = Exchange(self, urlsplit(endpoint_url).netloc, body, headers)
            (proxy.fault_for(self.command, self.path) or Exchange.pass_on)(exchange)

        do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = serve

        def log_message(self, *_: object) -> None:
            """Keeps the test's output clean."""

    server = _Server(("127.0.0.1", 0), Handler)
    proxy = Proxy(f"http://127.0.0.1:{server.server_port}")
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield proxy
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
