"""A real `grow up` as a child process, and the whole tree of processes below it."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

GROW = Path(sys.executable).with_name("grow")
START_SECONDS = 90.0
STOP_SECONDS = 20.0


class GrowUp:
    """Started, not necessarily ready."""

    def __init__(self, folder: Path, *arguments: str, environment: Mapping[str, str] | None = None) -> None:
        self.folder = folder
        self.state_dir = folder / "state"
        self._ready_file = folder / "ready.json"
        self._ready_file.unlink(missing_ok=True)
        self._error = folder / "stderr"
        self._output = folder / "stdout"
        places = ["--port", "0", "--state-dir", str(self.state_dir), "--ready-file", str(self._ready_file)]
        # Whoever runs the tests may have a Redis of their own.
        clean = {name: value for name, value in os.environ.items() if not name.endswith("REDIS_URL")}
        with self._output.open("wb") as output, self._error.open("wb") as error:
            self.process = subprocess.Popen(
                [str(GROW), "up", *places, *arguments],
                env={**clean, "GROW_LEASE_SECONDS": "3", "GROW_LEASE_RENEW_SECONDS": "1", **(environment or {})},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=error,
            )

    @property
    def stdout(self) -> str:
        return self._output.read_text()

    @property
    def stderr(self) -> str:
        return self._error.read_text()

    def ready(self) -> dict[str, Any]:
        """What it announces, once it does."""
        deadline = time.monotonic() + START_SECONDS
        while not self._ready_file.exists():
            assert self.process.poll() is None, self.stderr
            assert time.monotonic() < deadline, self.stderr
            time.sleep(0.05)
        announced: dict[str, Any] = json.loads(self._ready_file.read_text())
        return announced

    @property
    def url(self) -> str:
        return str(self.ready()["url"])

    def tree(self) -> list[int]:
        """The process itself and all below it."""
        return [self.process.pid, *below(self.process.pid)]

    def end(self, number: signal.Signals) -> tuple[int, float]:
        """Its exit code, and the seconds that it took to end after the signal."""
        started = time.monotonic()
        self.process.send_signal(number)
        return self.process.wait(STOP_SECONDS), time.monotonic() - started

    def clean_up(self) -> None:
        for pid in reversed(self.tree()) if self.process.poll() is None else []:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self.process.wait()


@contextmanager
def grow_up(folder: Path, *arguments: str, environment: Mapping[str, str] | None = None) -> Iterator[GrowUp]:
    folder.mkdir(parents=True, exist_ok=True)
    running = GrowUp(folder, *arguments, environment=environment)
    try:
        yield running
    finally:
        running.clean_up()


def below(pid: int) -> list[int]:
    children = []
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        with suppress(FileNotFoundError, ProcessLookupError):
            children += [int(child) for child in task.read_text().split()]
    return [found for child in children for found in (child, *below(child))]


def alive(pids: list[int]) -> list[int]:
    """Those that still run; what only waits for its parent to look has ended."""
    return [pid for pid in pids if _state(pid) not in ("", "Z", "X")]


def wait_until_gone(pids: list[int], seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while left := alive(pids):
        assert time.monotonic() < deadline, [command_of(pid) for pid in left]
        time.sleep(0.05)


def command_of(pid: int) -> bytes:
    """Of a process that may have ended by now."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except (FileNotFoundError, ProcessLookupError):
        return b""


def _state(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return ""
