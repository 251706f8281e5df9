"""Loaded by every Python process that has this folder on its path: notes where it connects, and its peak memory.

`WATCHED_LOG` names a folder; each process appends to a file of its own there.
"""

import os
import re
import sys
import threading
import time
from pathlib import Path

_EVENTS = ("socket.connect", "socket.getaddrinfo", "socket.gethostbyname")


def _watch(folder: Path) -> None:
    def note(line: str) -> None:
        with (folder / f"{os.getpid()}.log").open("a") as log:
            log.write(line + "\n")

    def hook(event: str, arguments: tuple[object, ...]) -> None:
        if event in _EVENTS:
            note(f"{event} {arguments[1:] if event == 'socket.connect' else arguments[:2]!r}")

    def tell_peak(told: int) -> int:
        if (peak := _peak_kilobytes()) > told:
            note(f"peak {peak} {' '.join(sys.orig_argv)}")
        return peak

    def tell_peaks(told: int) -> None:
        # Again and again, because the process may be killed.
        while True:
            time.sleep(0.1)
            told = tell_peak(told)

    sys.addaudithook(hook)
    # Once before anything else, because the process may end before a thread of its has had its turn.
    threading.Thread(target=tell_peaks, args=[tell_peak(0)], name="watch", daemon=True).start()


def _peak_kilobytes() -> int:
    found = re.search(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())
    assert found is not None
    return int(found[1])


if "WATCHED_LOG" in os.environ:
    _watch(Path(os.environ["WATCHED_LOG"]))
