"""Shows what processes write to their logs, as it is written, each line under its process' name."""

from collections.abc import Sequence
from io import BufferedReader

from rich.console import Console
from rich.text import Text

from client.process import Process

STYLES = ("cyan", "magenta", "green", "yellow", "blue")


class Follower:
    def __init__(self, console: Console) -> None:
        self._console = console
        self._logs: dict[str, BufferedReader] = {}
        self._unfinished: dict[str, bytes] = {}

    def show_new(self, processes: Sequence[Process]) -> None:
        """Prints what was written since the last look."""
        for process in processes:
            log = self._logs.get(process.name)
            if log is None:
                log = self._logs[process.name] = process.log.open("rb")
            *lines, rest = (self._unfinished.get(process.name, b"") + log.read()).split(b"\n")
            self._unfinished[process.name] = rest
            for line in lines:
                self._print(process.name, line.decode(errors="replace"))

    def close(self) -> None:
        for log in self._logs.values():
            log.close()

    def _print(self, name: str, line: str) -> None:
        style = STYLES[list(self._logs).index(name) % len(STYLES)]
        self._console.print(Text.assemble((f"{name:9}", style), " │ ", line), soft_wrap=True)
