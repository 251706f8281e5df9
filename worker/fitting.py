"""The fitting stage: the source's tensors, a stock target module and the corpus, brought to the engine's fit."""

from collections.abc import Callable
from typing import Protocol

from growth.checkpoint import CheckpointReader
from growth.fit import Fit, FitOutcome, FitState, Point
from growth.operators.ligo import Ligo
from growth.plan import GrowthPlan
from jobs.schema import FitPoint, FitReport
from worker.corpus import Corpus
from worker.modules import build_module


class FitStateStore(Protocol):
    """Where a fit's state outlives its process."""

    def load(self) -> bytes | None:
        """The last state saved for this job, or None."""
        ...

    def save(self, state: bytes) -> None:
        """Keep `state` in place of the one before."""
        ...


def fit_operator(
    plan: GrowthPlan,
    reader: CheckpointReader,
    corpus: Corpus,
    states: FitStateStore,
    on_point: Callable[[FitPoint], None],
    *,
    checkpoint_seconds: float,
    device: str,
) -> tuple[FitOutcome, FitReport]:
    """Fit the plan's operator on `corpus`, from the last saved state if there is one.

    `on_point` takes every step's losses; what it raises stops the fit.
    """
    assert isinstance(plan.method, Ligo)
    source = {name: reader.wide(info.name) for name, info in plan.source_tensors.items()}
    fit = Fit(plan, plan.method, source, build_module(plan.target, device=device), corpus, device=device)
    saved = states.load()
    if saved is not None:
        fit.resume(FitState.from_bytes(saved))
    outcome = fit.run(
        lambda point: on_point(_fit_point(point)),
        lambda state: states.save(state.to_bytes()),
        checkpoint_seconds,
    )
    return outcome, _report(outcome)


def _fit_point(point: Point) -> FitPoint:
    return FitPoint(step=point.step, loss=point.loss, held_out_loss=point.held_out_loss)


def _report(outcome: FitOutcome) -> FitReport:
    measured = [point.held_out_loss for point in outcome.curve if point.held_out_loss is not None]
    return FitReport(
        steps=outcome.curve[-1].step,
        initial_held_out_loss=measured[0],
        final_held_out_loss=measured[-1],
        parameters=outcome.learned_numbers,
        curve=[_fit_point(point) for point in outcome.curve],
    )
