"""Which runs are needed, told from those that are known: brackets of rates, then the budget that reaches the goal."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import inf

from benchmarks.savings.cache import Results
from benchmarks.savings.methods import RANDOM, Entry
from benchmarks.savings.recipe import Recipe
from benchmarks.savings.runs import Result, Run, annealed_run, source_run

MOST_DOUBLINGS = 4


@dataclass(frozen=True)
class Search:
    """What is looked for with one recipe. Rates go in factors of 2 around the middle ones."""

    scratch_steps: int
    scratch_rate: float
    grown_rate: float
    ladder: tuple[int, ...]
    """Steps of training after growth; rates are bracketed at the first."""
    begin: int
    """Where on the ladder the search for the goal begins."""
    checked_steps: int
    """Where a `random` growth is compared with a scratch run as short."""
    methods: tuple[Entry, ...]


@dataclass(frozen=True)
class Bracket:
    """Rates and the losses found at them; the best one is known once both its neighbours are worse."""

    losses: Mapping[float, float]
    missing: tuple[float, ...]
    best: float | None

    @property
    def leading(self) -> float | None:
        """The best of those that are known."""
        return min(self.losses, key=self.losses.__getitem__, default=None)


def bracket(middle: float, result_at: Callable[[float], Result | None]) -> Bracket:
    """The rates around `middle` in factors of 2, as far as it takes for the best to have a worse one on either side."""
    low, high = -1, 1
    while True:
        rates = [float(f"{middle * 2.0**power:.6g}") for power in range(low, high + 1)]
        found = {rate: result_at(rate) for rate in rates}
        losses = {rate: loss_of(result) for rate, result in found.items() if result is not None}
        if len(losses) < len(rates):
            return Bracket(losses, tuple(rate for rate in rates if rate not in losses), None)
        best = min(losses, key=losses.__getitem__)
        if best not in (rates[0], rates[-1]) or high - low > MOST_DOUBLINGS:
            return Bracket(losses, (), best)
        low, high = (low - 1, high) if best == rates[0] else (low, high + 1)


def next_steps(ladder: Sequence[int], begin: int, losses: Mapping[int, float], goal: float) -> int | None:
    """The next budget to try, until two neighbours of the ladder have the goal between them; None if that is so."""
    reached = [steps for steps, loss in losses.items() if loss <= goal]
    if not reached:
        return next((steps for steps in ladder if steps >= begin and steps > max(losses, default=0)), None)
    best = min(reached)
    missed = max((steps for steps in losses if steps < best), default=0)
    between = [steps for steps in ladder if missed < steps < best]
    return between[-1] if between else None


def loss_of(result: Result) -> float:
    """Its loss; infinite where it diverged."""
    return inf if result.loss is None else result.loss


class Course:
    """How far a search has got."""

    def __init__(self, search: Search, recipe: Recipe, seeds: Sequence[int], results: Results) -> None:
        self.search, self.recipe, self.seeds, self._results = search, recipe, tuple(seeds), results

    def result(self, run: Run) -> Result | None:
        return self._results.get(run)

    def source(self, seed: int) -> Result | None:
        return self.result(source_run(self.recipe, seed))

    def annealed(self) -> Result | None:
        """What the first seed's source comes to by annealing alone."""
        return self.result(annealed_run(self.recipe, self.seeds[0]))

    def continued_run(self) -> Run | None:
        """The run that trains the first seed's source on, until it has had as many FLOPs as scratch, without growth."""
        seed = self.seeds[0]
        source, scratch = self.source(seed), self.scratch(seed)
        if source is None or scratch is None or source.flops >= scratch.flops:
            return None
        steps = int(self.recipe.source_steps * (scratch.flops / source.flops - 1))
        return Run("annealed", steps, annealed_run(self.recipe, seed).rate, seed)

    def scratch_bracket(self) -> Bracket:
        """Of the scratch baseline, over its whole training."""
        steps, seed = self.search.scratch_steps, self.seeds[0]
        return bracket(self.search.scratch_rate, lambda rate: self.result(Run("scratch", steps, rate, seed)))

    def scratch(self, seed: int) -> Result | None:
        """The baseline at its best rate; as long as that is not known, at the best of those that are."""
        best = self.scratch_bracket().leading
        return None if best is None else self.result(Run("scratch", self.search.scratch_steps, best, seed))

    def rates(self, entry: Entry) -> Bracket:
        """Of a method, at the first budget of the ladder and with the first seed."""
        steps, seed = self.search.ladder[0], self.seeds[0]
        return bracket(self.search.grown_rate, lambda rate: self.result(Run("grown", steps, rate, seed, entry.text)))

    def grown(self, entry: Entry, seed: int) -> dict[int, Result]:
        """The results of a method by steps, at its best rate."""
        best = self.rates(entry).best
        if best is None:
            return {}
        found = {steps: self.result(Run("grown", steps, best, seed, entry.text)) for steps in self.search.ladder}
        return {steps: result for steps, result in found.items() if result is not None}

    def next_run(self, entry: Entry, seed: int) -> Run | None:
        """What is to be run of this method and seed; None where nothing is, or can be yet."""
        best, scratch = self.rates(entry).best, self.scratch(seed)
        if best is None or scratch is None:
            return None
        begin = self.search.begin
        if seed != self.seeds[0]:
            first = self._reached(entry, self.seeds[0])
            begin = self.search.ladder[-1] if first is None else first
        losses = {steps: loss_of(result) for steps, result in self.grown(entry, seed).items()}
        steps = next_steps(self.search.ladder, begin, losses, loss_of(scratch))
        return None if steps is None else Run("grown", steps, best, seed, entry.text)

    def checks(self) -> tuple[Run, Run] | None:
        """The scratch run and the `random` growth that must come to the same."""
        best = self.scratch_bracket().best
        if best is None:
            return None
        steps, seed = self.search.checked_steps, self.seeds[0]
        return Run("scratch", steps, best, seed), Run("grown", steps, best, seed, RANDOM)

    def wanted(self) -> Iterator[Run]:
        """Every run that is needed and can start, known or not, the most urgent first; rows of one seed come last."""
        yield from (source_run(self.recipe, seed) for seed in self.seeds)
        yield from self._scratch_runs()
        for once in (False, True):
            for fits in (False, True):
                yield from self._compared([e for e in self.search.methods if (e.fits, e.once) == (fits, once)])
            if (continued := self.continued_run()) is not None:
                yield continued

    def _compared(self, entries: Sequence[Entry]) -> Iterator[Run]:
        first, *others = self.seeds
        if self.source(first) is None:
            return
        yield annealed_run(self.recipe, first)
        yield from (run for entry in entries for run in self._bracket_runs(entry))
        yield from self._steps(entries, first)
        for seed in others:
            done = [entry for entry in entries if not entry.once and self.settled(entry, first)]
            if self.source(seed) is not None:
                yield from self._steps(sorted(done, key=lambda entry: self._reached(entry, first) or inf), seed)

    def _scratch_runs(self) -> Iterator[Run]:
        """The rates of the first seed; once the best is known, it with the other seeds and the short runs."""
        steps, (first, *others) = self.search.scratch_steps, self.seeds
        found = self.scratch_bracket()
        yield from (Run("scratch", steps, rate, first) for rate in found.missing)
        if found.best is not None:
            yield from (Run("scratch", steps, found.best, seed) for seed in others)
            yield from self.checks() or ()

    def _bracket_runs(self, entry: Entry) -> Iterator[Run]:
        steps, seed = self.search.ladder[0], self.seeds[0]
        yield from (Run("grown", steps, rate, seed, entry.text) for rate in self.rates(entry).missing)

    def _steps(self, entries: Sequence[Entry], seed: int) -> Iterator[Run]:
        yield from (run for entry in entries if (run := self.next_run(entry, seed)) is not None)

    def settled(self, entry: Entry, seed: int) -> bool:
        """Whether all that is wanted of this method and seed is known."""
        known = self.rates(entry).best is not None and self.scratch(seed) is not None
        return known and self.next_run(entry, seed) is None

    def _reached(self, entry: Entry, seed: int) -> int | None:
        """The fewest steps that reached the goal."""
        scratch = self.scratch(seed)
        if scratch is None:
            return None
        goal = loss_of(scratch)
        return min((s for s, result in self.grown(entry, seed).items() if loss_of(result) <= goal), default=None)
