"""From losses to savings: the FLOPs at which a method reaches what training from scratch reaches in the end."""

from collections.abc import Mapping
from dataclasses import dataclass
from math import exp, log

from benchmarks.savings.methods import Entry
from benchmarks.savings.runs import Result
from benchmarks.savings.search import Course, loss_of


@dataclass(frozen=True)
class Saving:
    """What one growth with one seed saves, in shares of the FLOPs of training from scratch."""

    seed: int
    steps: float
    """Of training after growth until the goal is reached, interpolated."""
    without_source: float
    with_source: float
    bound: bool
    """Whether the shortest budget of the ladder reached the goal already, so that this is the least it saves."""


def flops_to_goal(results: Mapping[int, Result], goal: float) -> tuple[float, bool] | None:
    """Training's and fit's FLOPs, the loss taken as linear in their logarithm between two neighbours of the ladder.

    With it, whether that is but an upper bound; None where the goal was not reached.
    """
    reached = min((steps for steps, result in results.items() if loss_of(result) <= goal), default=None)
    if reached is None:
        return None
    high = results[reached]
    missed = max((steps for steps in results if steps < reached), default=None)
    if missed is None or results[missed].loss is None:
        return _spent(high), True
    low = results[missed]
    share = (loss_of(low) - goal) / (loss_of(low) - loss_of(high))
    return exp(log(_spent(low)) + share * (log(_spent(high)) - log(_spent(low)))), False


def saving(course: Course, entry: Entry, seed: int) -> Saving | None:
    """What is known of `entry` with this seed; None where the goal is not reached, or not yet."""
    scratch, source, results = course.scratch(seed), course.source(seed), course.grown(entry, seed)
    if scratch is None or source is None or not results or course.next_run(entry, seed) is not None:
        return None
    found = flops_to_goal(results, loss_of(scratch))
    if found is None:
        return None
    flops, bound = found
    step = scratch.flops / course.search.scratch_steps
    fit = next(iter(results.values())).fit_flops
    spared = 1 - flops / scratch.flops
    return Saving(
        seed, round((flops - fit) / step), round(spared, 4), round(spared - source.flops / scratch.flops, 4), bound
    )


def _spent(result: Result) -> float:
    return result.flops + result.fit_flops
