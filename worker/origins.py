"""What a process that another one has started sees to first: its end with that one, and who hears what it prints."""

import ctypes
import os
import signal
import sys
from typing import BinaryIO

PR_SET_PDEATHSIG = 1


def die_with_parent(number: signal.Signals) -> None:
    """The kernel sends the signal as the parent ends; on Linux alone."""
    # The end of standard input tells the same, but is heard only between two calls into torch.
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, number)


def take_standard_output() -> BinaryIO:
    """Standard output for the caller alone: what anyone prints goes to standard error from now on."""
    told = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    return told
