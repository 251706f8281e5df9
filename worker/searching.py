"""A step of a search: Optuna hears what came of the trials, and says which ones come next, until the budget is spent.

Steps are short, and are taken by whichever worker has just ended a trial, or gets a message because none did. Between
two of them a search takes nobody's time, so that one worker alone gets through a search.
"""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import structlog

from growth.config import ModelConfig
from growth.errors import GrowthError
from jobs.errors import JobNotFound
from jobs.schema import Failure, Pretraining, Untrained
from jobs.search_space import WHOLE, Name
from jobs.searches import NewTrial, Searches, Seen, Step
from jobs.trials import DIVERGED, as_told, state_of
from jobs.tuning import Best, Trial, TrialJob, TrialRequest, TrialState, TuneJob, TuneResult
from worker.transferring import transferred

if TYPE_CHECKING:
    from worker.study import Study

TRIAL_ALONE = frozenset({DIVERGED, "out_of_memory", "poison"})
"""What may be wrong with one point and right with the next; all else would be wrong with each of them."""
_FIELDS = {"/source/config": "/proxy", "/source/pretrain": "/pretrain", "/source/tokenizer": "/tokenizer"}

log = structlog.get_logger()


def advance(search_id: str, searches: Searches, publish: Callable[[str], None]) -> None:
    """Takes the search as far as it goes without another trial; `publish` gets the ids of the trials that it begins."""
    while True:
        try:
            seen = searches.see(search_id)
        except JobNotFound:
            return
        if seen.job.status.terminal or seen.job.cancel_requested:
            return
        started = searches.commit(seen, _decided(seen))
        # None where another worker was faster: what it has left to do is looked at again.
        if started is not None:
            for trial_id in started:
                publish(trial_id)
            log.info("The search was stepped", job=search_id, trials=len(seen.trials), started=len(started))
            return


def _decided(seen: Seen) -> Step:
    try:
        return _next(seen)
    except GrowthError as error:
        outcome = Failure(code=error.code, detail=str(error), hint=error.hint, field=error.field or None)
    except Exception:
        log.exception("The search can't be stepped", job=seen.job.id)
        outcome = Failure(
            code="internal_error",
            detail="The search could not go on, which is an error of this service, not of the request.",
            hint="The worker's log has the details beside the job's id.",
        )
    return Step(outcome=outcome, progress=seen.job.progress)


def _next(seen: Seen) -> Step:
    # Late, because Celery's main process has no use for Optuna and the numpy that it takes.
    from worker.study import Study

    search, trials = seen.job, seen.trials
    study = Study(search, seen.journal)
    ended = [trial for trial in trials if trial.status.terminal]
    for trial in ended:
        if not study.ended(trial.number):
            _tell(study, trial)
    budget = search.plan.trials
    progress = len(ended) / budget
    if (failure := _spoils_all(ended)) is not None:
        return Step(study.entries, outcome=failure, progress=progress)
    wanted = min(search.request.parallel - len(trials) + len(ended), budget - len(trials))
    begun = wanted if seen.room is None else min(wanted, seen.room)
    asked = [study.ask() for _ in range(begun)]
    assert [number for number, _ in asked] == [len(trials) + place for place in range(len(asked))]
    started = [NewTrial(number, point, trial_request(search, point)) for number, point in asked]
    outcome = _outcome(search, trials) if len(ended) == budget else None
    return Step(study.entries, started, progress, outcome, held=begun < wanted)


def trial_request(search: TuneJob, point: dict[Name, float]) -> TrialRequest:
    """What a trial at this point of the search space does."""
    request, config = search.request, dict(search.plan.proxy_config)
    drawn: dict[str, float] = {name: int(value) if name in WHOLE else value for name, value in point.items()}
    if "initializer_range" in drawn:
        config[ModelConfig.from_dict(config).architecture.initializer_range_key] = drawn.pop("initializer_range")
    pretrain = Pretraining.model_validate({**request.pretrain.model_dump(), **drawn})
    source = Untrained(config=config, pretrain=pretrain, tokenizer=request.tokenizer)
    return TrialRequest(source=source, data=request.data, seed=request.seed)


def _tell(study: "Study", trial: TrialJob) -> None:
    match state_of(trial):
        case TrialState.COMPLETED:
            assert trial.result is not None
            study.tell(trial.number, trial.result.held_out_loss)
        case TrialState.DIVERGED:
            study.tell(trial.number, float("inf"))
        case TrialState.PRUNED:
            study.tell_pruned(trial.number)
        case _:
            study.tell_lost(trial.number)


def _spoils_all(ended: Sequence[TrialJob]) -> Failure | None:
    for trial in ended:
        if trial.error is not None and trial.error.code not in TRIAL_ALONE:
            blamed = trial.error.field or ""
            for ours, theirs in _FIELDS.items():
                blamed = blamed.replace(ours, theirs)
            return trial.error.model_copy(update={"field": blamed or None})
    return None


def _outcome(search: TuneJob, trials: Sequence[TrialJob]) -> TuneResult | Failure:
    told = as_told(search, trials)
    counts = {state: sum(trial.state is state for trial in told) for state in TrialState}
    completed = [trial for trial in told if trial.state is TrialState.COMPLETED]
    if not completed:
        return Failure(
            code="no_trial_completed",
            detail=f"None of the {len(told)} trials came to its end: {counts[TrialState.DIVERGED]} diverged, "
            f"{counts[TrialState.FAILED]} failed and {counts[TrialState.CANCELLED]} were cancelled.",
            hint="Search lower learning rates, or look at the trials for what ended them.",
            field="/search_space",
        )
    best = min(completed, key=_held_out_loss)
    request = trials[best.number].request
    return TuneResult(
        best=Best(number=best.number, job_id=best.job_id, point=best.point, held_out_loss=_held_out_loss(best)),
        hyperparameters=_hyperparameters(request),
        transfer=transferred(request.source, search.plan.target_config),
        completed=len(completed),
        pruned=counts[TrialState.PRUNED],
        diverged=counts[TrialState.DIVERGED],
        failed=counts[TrialState.FAILED] + counts[TrialState.CANCELLED],
        flops=sum(trial.flops for trial in told),
    )


def _held_out_loss(trial: Trial) -> float:
    assert trial.held_out_loss is not None
    return trial.held_out_loss


def _hyperparameters(request: TrialRequest) -> dict[str, float]:
    train = request.source.pretrain
    return {
        "learning_rate": train.learning_rate,
        "weight_decay": train.weight_decay,
        "beta1": train.beta1,
        "beta2": train.beta2,
        "warmup_fraction": train.warmup_fraction,
        "gradient_clip": train.gradient_clip,
        "batch_size": train.batch_size,
        "steps": train.steps,
        "initializer_range": ModelConfig.from_dict(request.source.config).initializer_range,
    }
