"""A search's trials as their search tells of them: their state, how far they came and what that cost."""

from collections.abc import Sequence

from jobs.schema import Status
from jobs.tuning import Trial, TrialJob, TrialState, TuneJob

DIVERGED = "training_diverged"
"""The code with which a trial fails whose loss is no longer a number."""
BACKWARD = 3
"""A step takes so many times the operations of the forward pass."""

_STATES = {
    Status.QUEUED: TrialState.QUEUED,
    Status.RUNNING: TrialState.RUNNING,
    Status.SUCCEEDED: TrialState.COMPLETED,
    Status.FAILED: TrialState.FAILED,
    Status.CANCELLED: TrialState.CANCELLED,
}


def as_told(search: TuneJob, trials: Sequence[TrialJob]) -> list[Trial]:
    """The trials of `search`, their curves included."""
    return [_as_told(search, trial) for trial in trials]


def flops(flops_per_token: int, *, steps: int, batch_size: int, sequence_length: int) -> int:
    """Of `steps` of a training, forward and back, the products with matrices alone."""
    return BACKWARD * flops_per_token * steps * batch_size * sequence_length


def state_of(trial: TrialJob) -> TrialState:
    """What became of a trial, or where it stands."""
    if trial.result is not None and trial.result.pruned:
        return TrialState.PRUNED
    if trial.error is not None and trial.error.code == DIVERGED:
        return TrialState.DIVERGED
    return _STATES[trial.status]


def _as_told(search: TuneJob, trial: TrialJob) -> Trial:
    last = trial.curve[-1] if trial.curve else None
    return Trial(
        number=trial.number,
        job_id=trial.id,
        state=state_of(trial),
        point=trial.point,
        steps=last.step if last else 0,
        held_out_loss=last.held_out_loss if last else None,
        flops=flops(
            search.plan.proxy.flops_per_token,
            steps=last.step if last else 0,
            batch_size=trial.request.source.pretrain.batch_size,
            sequence_length=trial.request.data.sequence_length,
        ),
        attempt=trial.attempt,
        error=trial.error,
        curve=trial.curve,
    )
