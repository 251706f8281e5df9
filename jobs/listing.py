"""Which jobs a list shows: the index that they stand in, and the ids between which they lie.

Indexes sort by id, and ids by creation, so a page starts right where the one before it ended, however many jobs have
come since. Every choice of filters has an index of its own; several labels are several indexes, of which
`lua/page.lua` seeks the jobs that stand in all.
"""

from dataclasses import dataclass
from datetime import datetime

from jobs import record
from jobs.keys import Keys, Kind
from jobs.schema import Status


@dataclass(frozen=True)
class Filter:
    """Which jobs to list; what is left out does not matter. Times are of creation, the later one is exclusive.

    Raises ValueError for a kind, method or labels without an owner, of which there is no index.
    """

    owner: str | None = None
    status: Status | None = None
    kind: Kind | None = None
    method: str | None = None
    labels: tuple[tuple[str, str], ...] = ()
    created_from: datetime | None = None
    created_before: datetime | None = None

    def __post_init__(self) -> None:
        if self.owner is None and (self.kind is not None or self.method is not None or self.labels):
            raise ValueError("Jobs of every owner are listed by status and time alone; name an owner for the rest.")

    def indexes(self, keys: Keys) -> list[str]:
        """The keys of all the indexes that the jobs stand in."""
        indexes = [keys.all]
        if self.owner is not None:
            # Growths alone have a method.
            kind = None if self.kind == "grow" and self.method is not None else self.kind
            indexes = [keys.by_owner(self.owner, self.method, label, kind) for label in self.labels or (None,)]
        return indexes if self.status is None else [keys.with_status(index, self.status) for index in indexes]

    def bounds(self, cursor: str | None) -> tuple[str, str]:
        """Upper and lower bound of their ids, as Redis writes them. Raises InvalidCursor."""
        lower = "-" if self.created_from is None else "[" + _first_id(self.created_from)
        if cursor is not None:
            return "(" + record.checked_cursor(cursor, record.JOB_ID), lower
        return "+" if self.created_before is None else "(" + _first_id(self.created_before), lower


EVERY_JOB = Filter()


def _first_id(created: datetime) -> str:
    return record.id_floor(record.microseconds(created))
