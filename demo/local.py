"""A `grow up` of the demo's own, on a free port, stopped when the demo ends."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from client import GrowClient

READY_SECONDS = 120.0
STOP_SECONDS = 30.0
THREADS = {"OMP_NUM_THREADS": "2"}
"""Of the worker: models this small are no faster on more."""


@contextmanager
def service(folder: Path) -> Iterator[GrowClient]:
    """A client of a service that keeps its state in `folder`."""
    folder.mkdir(parents=True)
    ready = folder / "ready.json"
    grow = str(Path(sys.executable).with_name("grow"))
    places = ["--port", "0", "--state-dir", str(folder), "--ready-file", str(ready)]
    process = subprocess.Popen([grow, "up", *places], env=os.environ | THREADS)
    try:
        with GrowClient(_url(process, ready)) as client:
            yield client
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(STOP_SECONDS)


def _url(process: subprocess.Popen[bytes], ready: Path) -> str:
    deadline = time.monotonic() + READY_SECONDS
    while not ready.exists():
        if process.poll() is not None or time.monotonic() > deadline:
            raise SystemExit("The demo needs `grow up`, which did not start.")
        time.sleep(0.1)
    return str(json.loads(ready.read_text())["url"])
