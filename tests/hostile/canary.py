"""Listeners that nobody may reach, the ways to write their address, and what watched processes have told."""

import ast
import os
import socket
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

WATCHED = Path(__file__).parent / "watched"


@dataclass
class Canary:
    """Listens on the loopback, in both versions of IP."""

    port: int
    callers: list[object]


@contextmanager
def canary() -> Iterator[Canary]:
    """It is whole as long as `callers` is empty."""
    listeners = [socket.create_server(("127.0.0.1", 0))]
    found = Canary(listeners[0].getsockname()[1], [])
    if socket.has_ipv6:
        listeners.append(socket.create_server(("::1", found.port), family=socket.AF_INET6))

    def listen(listener: socket.socket) -> None:
        while True:
            try:
                connection, caller = listener.accept()
            except OSError:
                return
            found.callers.append(caller)
            connection.close()

    threads = [threading.Thread(target=listen, args=[listener], daemon=True) for listener in listeners]
    for thread in threads:
        thread.start()
    try:
        yield found
    finally:
        for listener in listeners:
            listener.shutdown(socket.SHUT_RDWR)
            listener.close()


def addresses(port: int) -> dict[str, str]:
    """The canary's address as attackers write it, by what is special about it."""
    hosts = {
        "plain": "127.0.0.1",
        "name": "localhost",
        "name-with-a-dot": "localhost.",
        "decimal": "2130706433",
        "octal": "0177.0.0.1",
        "octal-in-full": "017700000001",
        "hexadecimal": "0x7f.0.0.1",
        "hexadecimal-in-full": "0x7f000001",
        "short": "127.1",
        "any": "0.0.0.0",
        "ipv6": "[::1]",
        "ipv6-in-full": "[0:0:0:0:0:0:0:1]",
        "ipv6-mapped": "[::ffff:127.0.0.1]",
        "ipv6-mapped-in-hexadecimal": "[::ffff:7f00:1]",
        "ipv6-zone": "[::1%25lo]",
        "rebinding": "127.0.0.1.nip.io",
        "rebinding-by-turns": "7f000001.08080808.rbndr.us",
        "full-width": "１２７.0.0.1",
        "enclosed": "①②⑦.0.0.1",
        "credentials": "bucket.s3.amazonaws.com@127.0.0.1",
        "fragment": "127.0.0.1#bucket.s3.amazonaws.com",
    }
    written = {name: f"http://{host}:{port}/model" for name, host in hosts.items()}
    written |= {f"s3-{name}": f"s3://{host}:{port}/model" for name, host in hosts.items()}
    written |= {
        "https": f"https://127.0.0.1:{port}/model",
        "s3-without-a-port": "s3://127.0.0.1/model",
        "file-host": f"file://127.0.0.1:{port}/model",
        "file-unc": f"file:////127.0.0.1:{port}/model",
        "s3-in-a-key": f"s3://models/http://127.0.0.1:{port}/model",
        "s3-query": f"s3://models/model?endpoint_url=http://127.0.0.1:{port}",
        "file-query": f"file:///model?url=http://127.0.0.1:{port}",
        "hub": "hf://somebody/model",
        "gopher": f"gopher://127.0.0.1:{port}/_GET",
        "ftp": f"ftp://127.0.0.1:{port}/model",
        "without-a-scheme": f"//127.0.0.1:{port}/model",
    }
    return written


@contextmanager
def redirecting_to(port: int) -> Iterator[str]:
    """The endpoint of a store that sends whoever asks to another address, in each of the ways that HTTP and S3 have."""

    class Redirect(BaseHTTPRequestHandler):
        asked = 0

        def do_GET(self) -> None:
            Redirect.asked += 1
            place = f"http://127.0.0.1:{port}"
            status = (301, 302, 303, 307, 308)[Redirect.asked % 5]
            body = f"<Error><Code>PermanentRedirect</Code><Endpoint>127.0.0.1:{port}</Endpoint></Error>".encode()
            self.send_response(status)
            self.send_header("Location", f"{place}{self.path}")
            self.send_header("x-amz-bucket-region", f"a.127.0.0.1:{port}/#")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(body)

        do_HEAD = do_PUT = do_POST = do_DELETE = do_GET

        def log_message(self, *_: object) -> None:
            return

    server = ThreadingHTTPServer(("127.0.0.1", 0), Redirect)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def watched(folder: Path) -> dict[str, str]:
    """The environment of processes that tell in `folder` where they connect."""
    folder.mkdir()
    path = os.pathsep.join([str(WATCHED), os.environ.get("PYTHONPATH", str(Path.cwd()))])
    return {"WATCHED_LOG": str(folder), "PYTHONPATH": path}


def connections(folder: Path) -> set[tuple[str, int]]:
    """Hosts and ports to which watched processes have connected."""
    found = set()
    for line in _lines(folder):
        event, _, told = line.partition(" ")
        if event == "socket.connect":
            (address,) = ast.literal_eval(told)
            if not isinstance(address, str | bytes):
                found.add(tuple(address[:2]))
    return found


def resolved(folder: Path) -> set[str]:
    """Names of hosts that watched processes have asked for."""
    told = [ast.literal_eval(line.partition(" ")[2]) for line in _lines(folder) if line.startswith("socket.get")]
    return {str(host) for host, *_ in told}


def peaks(folder: Path, command: str) -> list[int]:
    """Peak memory in bytes, as it grew, of the watched processes that were started with `command`."""
    told = [line.split(" ", 2) for line in _lines(folder) if line.startswith("peak ")]
    return [int(kilobytes) * 1024 for _, kilobytes, line in told if command in line]


def _lines(folder: Path) -> Sequence[str]:
    return [line for log in folder.glob("*.log") for line in log.read_text().splitlines()]
