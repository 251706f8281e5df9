"""One process of the local service: its log, its start, its end. It never outlives the process that started it."""

import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from client.errors import LocalServiceError

LAUNCH = Path(__file__).with_name("launch.py")
TAIL_BYTES = 4000
TAIL_LINES = 12


class Process:
    """A child in a session of its own, so that the terminal's Ctrl-C reaches it only through its starter."""

    def __init__(
        self, name: str, command: Sequence[str], environment: Mapping[str, str], logs: Path, stdin: str = ""
    ) -> None:
        self.name = name
        self.log = logs / f"{name}.log"
        if self.log.exists():
            # Why the last one ended may be of interest still.
            self.log.replace(logs / f"{name}.log.1")
        with self.log.open("wb") as log:
            self._popen = subprocess.Popen(  # noqa: S603 (commands are this package's own)
                [sys.executable, "-I", "-S", str(LAUNCH), str(os.getpid()), *command],
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=dict(environment),
                start_new_session=True,
            )
        assert self._popen.stdin is not None
        with suppress(BrokenPipeError), self._popen.stdin as pipe:
            pipe.write(stdin.encode())

    @property
    def pid(self) -> int:
        return self._popen.pid

    @property
    def running(self) -> bool:
        return self._popen.poll() is None

    @property
    def exit_code(self) -> int | None:
        return self._popen.poll()

    def check(self) -> None:
        """Raises LocalServiceError, with the end of the log, if the process has ended."""
        if not self.running:
            raise LocalServiceError(
                f"The process {self.name} ended by itself ({_how(self._popen.returncode)}).",
                f"Its log, {self.log}, ends with:\n{self._tail()}",
            )

    def ask_to_end(self) -> None:
        """Sends SIGTERM, to the process alone: what it started is its own to stop."""
        if self.running:
            self._popen.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """Ends its process group at once, whatever is left of it."""
        with suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)
        self._popen.wait()

    def _tail(self) -> str:
        with self.log.open("rb") as log:
            log.seek(max(0, self.log.stat().st_size - TAIL_BYTES))
            lines = log.read().decode(errors="replace").splitlines()
        return "\n".join(f"  {line}" for line in lines[-TAIL_LINES:]) or "  (nothing)"


def _how(code: int) -> str:
    return f"exit code {code}" if code >= 0 else f"signal {signal.Signals(-code).name}"
