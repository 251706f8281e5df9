"""How much one owner may have at a time."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Quota:
    """Of one owner's jobs, whichever key they came with; what is None has no limit."""

    queued: int | None = None
    """Jobs that wait; a further one is refused."""
    running: int | None = None
    """Jobs that run; a further one waits, and lets others go first."""
    bytes: int | None = None
    """Of the checkpoints that queued and running jobs will write; a job that goes beyond is refused."""

    def arguments(self) -> list[str]:
        """As `lua/create.lua` takes them."""
        return ["" if limit is None else str(limit) for limit in (self.queued, self.bytes)]

    def fields(self) -> list[str]:
        """What the record keeps, names and values in turn."""
        return [] if self.running is None else ["most_running", str(self.running)]


NO_QUOTA = Quota()
