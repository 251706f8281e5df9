"""The sweep: for every width and both parametrisations rates of 2^k, until the best has a worse one on either side."""

from collections.abc import Iterator
from dataclasses import dataclass
from math import inf
from pathlib import Path
from statistics import fmean

from benchmarks.mutransfer.family import Family
from benchmarks.mutransfer.runs import Result, Run
from benchmarks.savings.cache import Lines
from growth.coordinate_check import PARAMETRISATIONS, Parametrisation

MOST_STEPS = 6
"""Of the search away from where it begins."""
POWERS = range(-20, 1)
"""Those that may be asked for."""


class Results:
    """What is known of the runs of one family."""

    def __init__(self, work: Path, family: Family) -> None:
        self._family, self._lines = family, Lines(work, Result)

    def get(self, run: Run) -> Result | None:
        return self._lines.get(run.key(self._family))

    def add(self, run: Run, result: Result) -> None:
        """Keep `result`."""
        self._lines.add(run.key(self._family), result)


@dataclass(frozen=True)
class Sweep:
    """What is asked, and what is known by now; losses are means over the seeds."""

    family: Family
    results: Results
    seeds: tuple[int, ...] = (0,)

    def wanted(self) -> Iterator[Run]:
        """The runs that could start now, those of small models first: at a width when the one before is known."""
        for parametrisation in PARAMETRISATIONS:
            for width in self.family.widths:
                powers = self.powers(parametrisation, width)
                yield from (Run(parametrisation, width, power, seed) for power in powers for seed in self.seeds)
                if not self.losses(parametrisation, width).keys() >= set(powers):
                    break

    def powers(self, parametrisation: Parametrisation, width: int) -> range:
        """The rates to try, as far as it is known which."""
        number = self.family.widths.index(width)
        before = self.losses(parametrisation, self.family.widths[number - 1]) if number else {}
        middle = min(before, key=before.__getitem__, default=self.family.middle)
        low, high = middle - 1, middle + 1
        known = self.losses(parametrisation, width)
        while high - low <= MOST_STEPS and known.keys() >= set(range(low, high + 1)):
            best = min(range(low, high + 1), key=known.__getitem__)
            if best not in (low, high):
                break
            low, high = (low - 1, high) if best == low else (low, high + 1)
        return range(low, high + 1)

    def losses(self, parametrisation: Parametrisation, width: int) -> dict[int, float]:
        """The loss at each power of 2 that is known; infinite where training diverged."""
        runs = {power: self.runs(parametrisation, width, power) for power in POWERS}
        return {
            power: fmean(inf if run.loss is None else run.loss for run in by_seed.values())
            for power, by_seed in runs.items()
            if len(by_seed) == len(self.seeds)
        }

    def runs(self, parametrisation: Parametrisation, width: int, power: int) -> dict[int, Result]:
        """By seed, what is known."""
        runs = {seed: self.results.get(Run(parametrisation, width, power, seed)) for seed in self.seeds}
        return {seed: result for seed, result in runs.items() if result is not None}

    def best(self, parametrisation: Parametrisation, width: int) -> int:
        """The power of 2 with the least loss."""
        losses = self.losses(parametrisation, width)
        return min(losses, key=losses.__getitem__)
