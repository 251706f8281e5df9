"""The real API as a child process, without a worker: tests act on the records as a worker would."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx2

START_SECONDS = 60.0
STOP_SECONDS = 10.0


@contextmanager
def api(redis_url: str, port: int, log: Path, **settings: str) -> Iterator[str]:
    """The URL of a running `python -m service` on `port`, with further `GROW_*` settings."""
    place = {"GROW_REDIS_URL": redis_url, "GROW_PORT": str(port)}
    environment = {**os.environ, **place, **settings}
    with log.open("ab") as sink:
        process = subprocess.Popen([sys.executable, "-m", "service"], env=environment, stdout=sink, stderr=sink)
    try:
        url = f"http://127.0.0.1:{port}"
        _wait_until_ready(url, process, log)
        yield url
    finally:
        _stop(process)


def _wait_until_ready(url: str, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    while not _ready(url):
        assert process.poll() is None, f"The API ended at its start: {log.read_text()}"
        assert time.monotonic() < deadline, f"The API was not ready in time: {log.read_text()}"
        time.sleep(0.05)


def _ready(url: str) -> bool:
    try:
        return httpx2.get(f"{url}/readyz", trust_env=False).is_success
    except httpx2.TransportError:
        return False


def _stop(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
