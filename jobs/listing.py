"""Which jobs a list shows: the indexes that all of them stand in, and the ids between which they lie.

Indexes sort by id, and ids by creation, so a page starts right where the one before it ended, however many jobs have
come since. `lua/page.lua` walks the smallest index and looks each id up in the others.
"""

from dataclasses import dataclass
from datetime import datetime

from jobs import record
from jobs.keys import Keys, Kind
from jobs.schema import Status


@dataclass(frozen=True)
class Filter:
    """Which jobs to list; what is left out does not matter. Times are of creation, the later one is exclusive."""

    owner: str | None = None
    status: Status | None = None
    kind: Kind | None = None
    method: str | None = None
    labels: tuple[tuple[str, str], ...] = ()
    created_from: datetime | None = None
    created_before: datetime | None = None

    def indexes(self, keys: Keys) -> list[str]:
        """The keys of all the indexes that the jobs stand in."""
        indexes = [keys.by_label(name, value) for name, value in self.labels]
        if self.owner is not None:
            indexes.append(keys.by_owner(self.owner))
        if self.status is not None:
            # Trials stand in the index of their status too.
            indexes += [keys.by_status(self.status), keys.all]
        if self.kind is not None:
            indexes.append(keys.by_kind(self.kind))
        if self.method is not None:
            indexes.append(keys.by_method(self.method))
        return indexes or [keys.all]

    def bounds(self, cursor: str | None) -> tuple[str, str]:
        """Upper and lower bound of their ids, as Redis writes them. Raises InvalidCursor."""
        lower = "-" if self.created_from is None else "[" + _first_id(self.created_from)
        if cursor is not None:
            return "(" + record.checked_cursor(cursor, record.JOB_ID), lower
        return "+" if self.created_before is None else "(" + _first_id(self.created_before), lower


EVERY_JOB = Filter()


def _first_id(created: datetime) -> str:
    return record.id_floor(record.microseconds(created))
