"""A search as it runs, in a terminal: the table of its trials, live."""

import time
from collections.abc import Callable
from typing import Self

from rich.console import Console
from rich.live import Live

from client.show_search import trials_table
from jobs.schema import Event, EventKind
from jobs.tuning import AnyJob, TuneJob

LOOK_SECONDS = 0.5
"""Between two looks at the service, however fast events come."""


class SearchWatch:
    """Shows a search live in a terminal; elsewhere prints a line for each trial that ends."""

    def __init__(self, console: Console, look: Callable[[], AnyJob]) -> None:
        self._console, self._look = console, look
        self._look_at = 0.0
        self._live = Live(console=console, transient=True) if console.is_terminal else None

    def __enter__(self) -> Self:
        if self._live is not None:
            self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._live is not None:
            self._live.stop()

    def take(self, event: Event) -> None:
        """Shows what the event changes."""
        if self._live is not None:
            self._refresh(self._live)
        elif event.kind is EventKind.TRIAL and event.data.get("status") in ("succeeded", "failed", "cancelled"):
            at = event.at.astimezone().strftime("%H:%M:%S")
            self._console.print(f"{at} trial {event.data['number']} {event.data['status']}", highlight=False)
        elif event.kind is EventKind.STATUS:
            at = event.at.astimezone().strftime("%H:%M:%S")
            self._console.print(f"{at} {event.data['status']}", highlight=False)

    def _refresh(self, live: Live) -> None:
        if (now := time.monotonic()) < self._look_at:
            return
        self._look_at = now + LOOK_SECONDS
        found = self._look()
        if isinstance(found, TuneJob) and found.trials:
            live.update(trials_table(found.trials))
