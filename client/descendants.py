"""The processes below this one, whoever started them: what a dead child leaves behind becomes this process' own child.

Linux alone knows how; elsewhere a child that is killed may leave processes behind.
"""

import ctypes
import os
import signal
import sys
from contextlib import suppress
from pathlib import Path

PR_SET_CHILD_SUBREAPER = 36


def adopt_orphans() -> None:
    """From here on the children of a descendant that dies become this process' children."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1)


def kill_descendants() -> None:
    """Ends every process below this one, at once, and waits until they are gone."""
    while found := _below(os.getpid()):
        for pid in found:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        with suppress(ChildProcessError):
            os.waitpid(-1, 0)


def _below(pid: int) -> list[int]:
    children = [int(child) for task in Path(f"/proc/{pid}/task").glob("*/children") for child in _read(task).split()]
    return [found for child in children for found in (*_below(child), child)]


def _read(task: Path) -> str:
    try:
        return task.read_text()
    except (FileNotFoundError, ProcessLookupError):
        return ""
