"""The fitting stage: the source's tensors, a stock target module and the corpus, brought to the engine's fit."""

from collections.abc import Callable
from dataclasses import replace
from typing import Protocol

from torch import Tensor

from growth.checkpoint import CheckpointReader
from growth.fit import Fit, FitOutcome, FitState, Point
from growth.fit.ranks import Ranks
from growth.operators.ligo import Ligo
from growth.plan import GrowthPlan
from growth.stock_weights import weightless
from jobs.schema import FitPoint, FitReport
from worker.corpus import Corpus
from worker.messages import exit_if
from worker.modules import build_module, source_module


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
    ranks: Ranks | None = None,
    leaving: Callable[[], bool] = lambda: False,
) -> tuple[FitOutcome, FitReport]:
    """Fit the plan's operator on `corpus`, from the last saved state if there is one.

    `on_point` takes every step's losses; what it raises stops the fit. `ranks`: the processes that share it. Once
    `leaving` says so, the state is saved and this process exits.
    """
    assert isinstance(plan.method, Ligo)
    matched = source_module(plan, reader, device=device) if plan.method.matches(headed=plan.source.headed) else None
    fit = Fit(
        plan,
        plan.method,
        _tensors(plan, reader),
        weightless(build_module(plan.target)),
        corpus,
        device=device,
        source_module=matched,
        ranks=ranks,
    )
    saved = states.load()
    if saved is not None:
        state = FitState.from_bytes(saved)
        corpus.seek(state.position)
        fit.resume(state)

    def save(state: FitState) -> None:
        states.save(replace(state, position=corpus.position()).to_bytes())
        exit_if(leaving())

    outcome = fit.run(lambda point: on_point(_fit_point(point)), save, checkpoint_seconds, leaving)
    return outcome, _report(outcome)


def _tensors(plan: GrowthPlan, reader: CheckpointReader) -> dict[str, Tensor]:
    # Read in the order of their bytes, so that none is fetched twice with its neighbours.
    stored = sorted(plan.source_tensors, key=lambda name: plan.source_tensors[name].place)
    read = {name: reader.wide(plan.source_tensors[name].name) for name in stored}
    return {name: read[name] for name in plan.source_tensors}


def _fit_point(point: Point) -> FitPoint:
    return FitPoint(step=point.step, loss=point.loss, held_out_loss=point.held_out_loss)


def _report(outcome: FitOutcome) -> FitReport:
    measured = [point.held_out_loss for point in outcome.curve if point.held_out_loss is not None]
    return FitReport(
        steps=outcome.curve[-1].step,
        initial_held_out_loss=measured[0],
        final_held_out_loss=measured[-1],
        parameters=outcome.learned_numbers,
        flops_per_step=outcome.flops_per_step,
        factored=list(outcome.factored),
        curve=[_fit_point(point) for point in outcome.curve],
    )
