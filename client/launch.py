"""Becomes another program that dies with the process that started it; run as a script: `launch.py PARENT COMMAND...`.

A signal handler can't outlive SIGKILL, but Linux itself can be asked to kill a child when its parent ends. It has to be
asked in the child, and code between fork and exec is unsafe in a process with threads; so this file is a program.
"""

import ctypes
import os
import signal
import sys

PR_SET_PDEATHSIG = 1


def main(parent: int, command: list[str]) -> None:
    """Never returns: the process is `command` from here on."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        # The parent may have ended before the kernel was asked.
        if os.getppid() != parent:
            sys.exit(f"The process {parent} that started this one has ended.")
    os.execvp(command[0], command)  # noqa: S606 (the command is the starter's own)


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2:])
