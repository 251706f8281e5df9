"""How a method was picked among others: which were looked at, which could not be, what was measured of them."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any


@dataclass(frozen=True, slots=True)
class Candidate:
    """A method that was looked at."""

    label: str
    """The method in short, such as `pad + stack`."""
    method: Mapping[str, Any]
    """Its name and every option."""
    open: bool = False
    """Whether the rule leaves it to a measured loss to pick this one."""
    refusal: str = ""
    """Why it can't reach the target; empty where it can."""
    held_out_loss: float | None = None
    """Right after growth, nats per token to four decimals; None where it was not measured, or is not finite."""


@dataclass(frozen=True, slots=True)
class Selection:
    """The candidates in the order of the rule's preference, and the one that was picked."""

    label: str
    method: Mapping[str, Any]
    """Of the candidate that was picked."""
    reason: str
    candidates: tuple[Candidate, ...]

    @property
    def open(self) -> tuple[Candidate, ...]:
        """Those between which a loss may decide; the first is the rule's own choice."""
        return tuple(candidate for candidate in self.candidates if candidate.open)

    def measured(self, losses: Mapping[str, float | None]) -> "Selection":
        """The selection by these losses, by label: the lowest, and of equal ones the first."""
        known = tuple(replace(c, held_out_loss=losses.get(c.label)) for c in self.candidates)
        finite = {c.label: c.held_out_loss for c in known if c.open and c.held_out_loss is not None}
        best = min(finite, key=finite.__getitem__, default=self.label)
        method = next(c.method for c in known if c.label == best)
        return replace(self, label=best, method=method, candidates=known)

    def notes(self) -> tuple[str, ...]:
        """One sentence each: what was picked and why, what was or would be measured, what was impossible."""
        measured = [f"{c.label} {c.held_out_loss:.4f}" for c in self.candidates if c.held_out_loss is not None]
        left = [c.label for c in self.open]
        notes = [f"auto picked {self.label}. {self.reason}"]
        if measured:
            notes.append(f"Held-out losses right after growth: {', '.join(measured)}.")
        elif len(left) > 1:
            notes.append(f"The lowest held-out loss decides between {', '.join(left)} where data and a head give one.")
        return (*notes, *(f"{c.label} is not possible: {c.refusal}" for c in self.candidates if c.refusal))

    def summary(self) -> dict[str, Any]:
        """The selection as plain JSON values."""
        return {**asdict(self), "candidates": [asdict(candidate) for candidate in self.candidates]}
