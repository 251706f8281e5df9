"""Whether a running trial is worth going on with, asked at each of its held-out losses."""

from collections.abc import Sequence

from jobs.schema import FitPoint
from jobs.searches import Searches
from jobs.store import JobStore
from jobs.tuning import TrialJob, TrialResult


class Pruning:
    """Of one trial, by the losses of all trials of its search."""

    def __init__(self, trial: TrialJob, store: JobStore, searches: Searches) -> None:
        self._trial, self._store, self._searches = trial, store, searches

    def judged(self, point: FitPoint) -> tuple[bool, Sequence[str]]:
        """Whether the trial is to end early, and what its search's journal has to say of that."""
        assert point.held_out_loss is not None
        search, journal = self._searches.known(self._trial.search)
        # The first point is the start, which all trials have in common; a search that has ended has no journal.
        if point.step == 0 or not journal:
            return False, ()
        # Late, because Celery's main process has no use for Optuna and the numpy that it takes.
        from worker.study import Study

        study = Study(search, journal)
        return study.report(self._trial.number, point.step, point.held_out_loss), study.entries

    def result(self) -> TrialResult:
        """Of a trial that was told to end early."""
        trial = self._store.get(self._trial.id)
        assert isinstance(trial, TrialJob)
        last = trial.curve[-1]
        assert last.held_out_loss is not None
        return TrialResult(steps=last.step, held_out_loss=last.held_out_loss, pruned=True)
