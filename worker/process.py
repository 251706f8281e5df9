"""The child process as the worker holds it: started with its work, heard line by line, stopped with all it started."""

import os
import queue
import signal
import subprocess
import sys
import threading
from contextlib import suppress
from dataclasses import dataclass

from worker.messages import MESSAGE, STOPPED_EXIT_CODE, AnyWork, Go, Message

STANDARD_ERROR = 2
# glibc gives each thread an arena, and what one has freed no other uses: blocks of rows would add up to gigabytes.
CHILD_ENVIRONMENT = {"MALLOC_ARENA_MAX": "1"}


@dataclass(frozen=True)
class Exited:
    """The child ended without a last word."""

    code: int

    @property
    def stopped(self) -> bool:
        """Whether it was told to end, as by whoever shuts down the machine."""
        return self.code in (STOPPED_EXIT_CODE, -signal.SIGTERM)

    def __str__(self) -> str:
        if self.code == -signal.SIGKILL:
            return "was ended by SIGKILL, as happens where memory runs out"
        return f"was ended by {signal.Signals(-self.code).name}" if self.code < 0 else f"exited with code {self.code}"


class Child:
    """`python -m worker.child`, in a process group of its own: waiting for its work, then at it."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "worker.child"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=STANDARD_ERROR,
            process_group=0,
            env={**CHILD_ENVIRONMENT, **os.environ},
        )
        self._heard: queue.SimpleQueue[Message | None] = queue.SimpleQueue()
        self._ear = threading.Thread(target=self._listen, name="child", daemon=True)
        self._ear.start()

    @property
    def running(self) -> bool:
        return self._process.poll() is None

    def begin(self, work: AnyWork) -> None:
        """Hands over the one job that this process does."""
        self._tell(work.model_dump_json().encode() + b"\n")

    def next(self, timeout_seconds: float) -> Message | Exited | None:
        """What the child says next; None where it says nothing for so long."""
        try:
            message = self._heard.get(timeout=timeout_seconds)
        except queue.Empty:
            return None
        return message if message is not None else Exited(self._process.wait())

    def let_commit(self, until: float) -> None:
        """`until`, by the monotonic clock, the job is certain to be ours."""
        self._tell(Go(until=until).model_dump_json().encode() + b"\n")

    def stop(self, grace_seconds: float) -> None:
        """Ends the child and its children, if they have not ended; SIGTERM first where there is a grace."""
        if grace_seconds and self._process.poll() is None:
            self._signal(signal.SIGTERM)
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(grace_seconds)
        self._signal(signal.SIGKILL)
        self._process.wait()
        self._ear.join()
        self._close()

    def _tell(self, line: bytes) -> None:
        assert self._process.stdin is not None
        # A child that died meanwhile is heard of soon enough.
        with suppress(BrokenPipeError):
            self._process.stdin.write(line)
            self._process.stdin.flush()

    def _listen(self) -> None:
        assert self._process.stdout is not None
        try:
            for line in self._process.stdout:
                # Without its end a line is half of one, of a child that was killed as it wrote.
                if line.endswith(b"\n"):
                    self._heard.put(MESSAGE.validate_json(line))
        finally:
            self._heard.put(None)

    def _signal(self, number: signal.Signals) -> None:
        # The group outlives its leader where the child had children.
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, number)

    def _close(self) -> None:
        for pipe in (self._process.stdin, self._process.stdout):
            assert pipe is not None
            with suppress(BrokenPipeError):
                pipe.close()
