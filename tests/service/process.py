"""`python -m service` as an operator runs it, on a free port of this machine."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx2

from tests.servers import free_port

START_SECONDS = 60.0


@dataclass(frozen=True)
class ServiceProcess:
    url: str
    pid: int
    log: Path


@contextmanager
def service_process(
    log: Path, environment: Mapping[str, str], command: Sequence[str] = (sys.executable, "-m", "service")
) -> Iterator[ServiceProcess]:
    """The service with these settings, ready; it has ended when the block is left."""
    url = f"http://127.0.0.1:{(port := free_port())}"
    with log.open("wb") as output:
        process = subprocess.Popen(
            command, env={**os.environ, "GROW_PORT": str(port), **environment}, stdout=output, stderr=subprocess.STDOUT
        )
    try:
        _until_ready(process, url, log)
        yield ServiceProcess(url, process.pid, log)
    finally:
        process.kill()
        process.wait()


def _until_ready(process: "subprocess.Popen[bytes]", url: str, log: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    while True:
        assert process.poll() is None, log.read_text()
        try:
            if httpx2.get(f"{url}/readyz").status_code == 200:
                return
        except httpx2.TransportError:
            assert time.monotonic() < deadline, log.read_text()
        time.sleep(0.05)
