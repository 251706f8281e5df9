"""Real worker processes, and the trees below them."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

STOPPED_WITHIN_SECONDS = 20.0
"""What is promised of a worker; a machine at rest takes one or two."""


@dataclass(frozen=True)
class WorkerProcess:
    """Celery's main process; below it are its pool process and, while a job runs, that one's child."""

    process: subprocess.Popen[bytes]
    log: Path

    def tree(self) -> list[int]:
        """The pids of all its processes, the main one first."""
        return [self.process.pid, *_below(self.process.pid)]

    def children(self) -> list[int]:
        """The pids of the processes that do a job's work: at most one."""
        return [pid for pid in self.tree() if b"worker.child" in _read(Path(f"/proc/{pid}/cmdline"))]

    def sharing(self) -> list[int]:
        """The pids of the processes that share a fit."""
        return [pid for pid in self.tree() if b"worker.fit_process" in _read(Path(f"/proc/{pid}/cmdline"))]

    def kill(self) -> None:
        """SIGKILL to every process at once."""
        for pid in self.tree():
            _signal(pid, signal.SIGKILL)
        self.process.wait()


@contextmanager
def worker_process(environment: dict[str, str], log: Path) -> Iterator[WorkerProcess]:
    """A worker with these settings, gone with all its processes at the end."""
    command = [sys.executable, "-m", "celery", "-A", "worker.app", "worker", "-n", f"{log.stem}@%h"]
    with log.open("wb") as output:
        process = subprocess.Popen(
            [*command, "--loglevel", "INFO", "--without-gossip", "--without-mingle"],
            env={**os.environ, **environment},
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    worker = WorkerProcess(process, log)
    try:
        yield worker
    finally:
        worker.kill()


def hold_once(working: Callable[[], list[int]], reached: Callable[[], bool], seconds: float = 60.0) -> list[int]:
    """Stops the processes that `working` names (SIGSTOP) once `reached` holds; who they are.

    They stand still as it looks, however slow this process is, so that what it sees is still so when it returns.
    """
    held: list[int] = []

    def stands_still() -> bool:
        held[:] = working()
        signal_all(held, signal.SIGSTOP)
        if held and reached():
            return True
        signal_all(held, signal.SIGCONT)
        return False

    wait_until(stands_still, seconds)
    return held


def alive(pid: int) -> bool:
    """Whether a process runs; one that is dead and not yet reaped does not."""
    return _read(Path(f"/proc/{pid}/stat")).rpartition(b")")[2].split()[:1] not in ([], [b"Z"])


def signal_all(pids: list[int], number: signal.Signals) -> None:
    for pid in pids:
        _signal(pid, number)


def wait_until(reached: Callable[[], bool], seconds: float = 60.0) -> None:
    """Returns as soon as `reached` holds, and fails the test if it never does."""
    deadline = time.monotonic() + seconds
    while not reached():
        assert time.monotonic() < deadline, f"not reached within {seconds} s"
        time.sleep(0.02)


def _below(pid: int) -> list[int]:
    children = [int(child) for task in Path(f"/proc/{pid}/task").glob("*/children") for child in _read(task).split()]
    return [found for child in children for found in (child, *_below(child))]


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except (FileNotFoundError, ProcessLookupError):
        return b""


def _signal(pid: int, number: signal.Signals) -> None:
    with suppress(ProcessLookupError):
        os.kill(pid, number)
