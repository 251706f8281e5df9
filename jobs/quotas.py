"""How much one owner may have at a time."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Quota:
    """Of one owner's jobs, whichever key they came with; what is None has no limit.

    Trials are jobs too, and have the quota of the key that their search came with.
    """

    queued: int | None = None
    """Jobs that wait; a further one is refused, and a further trial waits in its search."""
    running: int | None = None
    """Jobs that run; a further one waits, and lets others go first."""
    bytes: int | None = None
    """Of the checkpoints that queued and running jobs will write, and of the proxies that a search trains side by side;
    a job that goes beyond is refused."""

    def arguments(self) -> list[str]:
        """As `lua/create.lua` takes them."""
        return ["" if limit is None else str(limit) for limit in (self.queued, self.bytes)]

    def fields(self) -> list[str]:
        """What the record keeps, names and values in turn."""
        kept = {"most_queued": self.queued, "most_running": self.running}
        return [text for name, most in kept.items() if most is not None for text in (name, str(most))]


NO_QUOTA = Quota()
