"""The learning rate over a fixed number of steps: warm-up, then decay inside the step budget."""

from math import cos, pi
from typing import Literal, Protocol

Decay = Literal["none", "linear", "cosine"]


class Schedule(Protocol):
    """Options of whatever is trained for a number of steps."""

    @property
    def steps(self) -> int: ...
    @property
    def warmup_fraction(self) -> float: ...
    @property
    def decay(self) -> Decay: ...


def rate_factor(schedule: Schedule, step: int) -> float:
    """The share of the peak learning rate at step `step` (from 0)."""
    warmup = round(schedule.warmup_fraction * schedule.steps)
    if step < warmup:
        return (step + 1) / (warmup + 1)
    if schedule.decay == "none":
        return 1.0
    left = (schedule.steps - step) / (schedule.steps - warmup)
    return left if schedule.decay == "linear" else (1 + cos(pi * (1 - left))) / 2
