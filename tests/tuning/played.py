"""Searches whose trials are played: claimed, measured and ended as a worker would, by a loss that the test decides."""

from collections.abc import Callable
from dataclasses import dataclass, field

from jobs.schema import Failure, FitPoint, Status
from jobs.searches import Searches
from jobs.store import JobStore
from jobs.tuning import TrialJob, TrialResult, TuneJob
from worker.pruning import Pruning
from worker.searching import advance

Loss = Callable[[TrialJob, int], float]
"""Of a trial at a step."""
DIVERGED = Failure(code="training_diverged", detail="The loss is not finite.")


def steady(trial: TrialJob, step: int) -> float:
    """Lowest at a learning rate of 2^-6, and falling."""
    distance = abs(trial.point["learning_rate"] / 2.0**-6 - 1)
    return distance + 1.0 / (1 + step)


@dataclass
class Played:
    """One search; `begun` are the trials in the order in which their messages were sent."""

    store: JobStore
    searches: Searches
    search_id: str
    begun: list[str] = field(default_factory=list)

    def step(self) -> None:
        advance(self.search_id, self.searches, self.begun.append)

    def search(self) -> TuneJob:
        found = self.store.get(self.search_id)
        assert isinstance(found, TuneJob)
        return found

    def live(self) -> list[TrialJob]:
        return [trial for trial in self.store.trials(self.search_id) if not trial.status.terminal]

    def measure(self, trial: TrialJob, attempt: int, step: int, loss: float) -> bool:
        """Whether the trial is to end early."""
        point = FitPoint(step=step, held_out_loss=loss)
        pruned, entries = Pruning(trial, self.store, self.searches).judged(point)
        self.store.report(trial.id, attempt, point, pruned=pruned, entries=entries)
        return pruned

    def play(self, trial: TrialJob, loss: Loss = steady) -> None:
        """A whole trial."""
        attempt = self.store.claim(trial.id, "worker").attempt
        train = trial.request.source.pretrain
        for step in range(0, train.steps + 1, train.held_out_every):
            measured = loss(trial, step)
            if self.measure(trial, attempt, step, measured):
                result = Pruning(trial, self.store, self.searches).result()
                self.store.finish(trial.id, attempt, result)
                return
        self.store.finish(trial.id, attempt, TrialResult(steps=train.steps, held_out_loss=measured))

    def fail(self, trial: TrialJob, failure: Failure = DIVERGED) -> None:
        self.store.finish(trial.id, self.store.claim(trial.id, "worker").attempt, failure)

    def to_the_end(self, loss: Loss = steady) -> TuneJob:
        """The search after all its trials, those that run side by side in turn."""
        self.step()
        while live := self.live():
            self.play(live[0], loss)
            self.step()
        assert self.search().status is Status.SUCCEEDED, self.search().error
        return self.search()
