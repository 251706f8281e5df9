"""Optuna's journal as it is kept in a search's record: read as it was, with what is new kept apart.

A backend of our own beside Optuna's for Redis: that one writes entry by entry, so that a process which dies leaves half
a trial behind, and unpickles what it finds. Here what a step adds is written together with the trials that it makes.
"""

import json
from collections.abc import Iterator, Sequence
from typing import Any

from optuna.storages.journal import BaseJournalBackend


class Journal(BaseJournalBackend):
    """`entries`, and after them those that Optuna adds."""

    def __init__(self, entries: Sequence[str]) -> None:
        self._entries = list(entries)
        self._known = len(entries)

    @property
    def added(self) -> list[str]:
        """What came after the entries that were there, as JSON."""
        return self._entries[self._known :]

    def read_logs(self, log_number_from: int) -> Iterator[dict[str, Any]]:
        yield from map(json.loads, self._entries[log_number_from:])

    def append_logs(self, logs: list[dict[str, Any]]) -> None:
        self._entries += map(json.dumps, logs)
