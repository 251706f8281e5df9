"""The service as an operator runs it: uvicorn over a Valkey that has every record on the disk before it answers."""

import os
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.servers import free_port, valkey_server
from tests.tiny import tiny_llama

START_SECONDS = 60.0


@dataclass(frozen=True)
class Served:
    port: int
    redis_url: str
    sources: tuple[str, ...]
    """URIs of checkpoints to grow."""
    outputs: str
    """URI of a folder that nothing is written to."""


@contextmanager
def served(folder: Path, sources: int = 4) -> Iterator[Served]:
    """A service of its own, with its records in `folder`; it asks for no key, on this machine's loopback."""
    checkpoints = tuple(f"file://{tiny_llama(folder / f'source-{n}', seed=n)}" for n in range(sources))
    with valkey_server(folder / "valkey") as redis, (folder / "service.log").open("wb") as log:
        port = free_port()
        environment = {**os.environ, "GROW_REDIS_URL": redis.url, "GROW_PORT": str(port), "GROW_LOG_FORMAT": "json"}
        process = subprocess.Popen([sys.executable, "-m", "service"], env=environment, stdout=log, stderr=log)
        try:
            _until_ready(process, port)
            yield Served(port, redis.url, checkpoints, f"file://{folder}/grown")
        finally:
            process.terminate()
            process.wait()


def _until_ready(process: "subprocess.Popen[bytes]", port: int) -> None:
    deadline = time.monotonic() + START_SECONDS
    while True:
        assert process.poll() is None
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz"):
                return
        except urllib.error.URLError:
            assert time.monotonic() < deadline
            time.sleep(0.05)
