"""A search as Optuna sees it: which point comes next, what came of each, and whether a trial is worth going on with.

All that Optuna knows stands in the journal; an object here lives for one decision.
"""

from collections.abc import Mapping, Sequence
from hashlib import blake2b

import optuna
from optuna.pruners import BasePruner, MedianPruner, NopPruner, SuccessiveHalvingPruner
from optuna.samplers import BaseSampler, GridSampler, RandomSampler, TPESampler
from optuna.storages import JournalStorage
from optuna.trial import FrozenTrial, TrialState

from jobs.search_space import WHOLE, Choices, Name, PowersOfTwo, Range, Values
from jobs.tuning import TuneJob
from worker.journal import Journal

HALVING = 3
"""Of the trials that come as far, one in so many goes on to so many times the steps."""


class Study:
    """The search with the journal that was found."""

    def __init__(self, search: TuneJob, journal: Sequence[str]) -> None:
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        self._request, self._space = search.request, search.plan.search_space
        self._journal = Journal(journal)
        open_study = optuna.load_study if journal else optuna.create_study
        # Telling asks the sampler too, and only the random one has nothing to say to it.
        self._storage = JournalStorage(self._journal)
        self._study = open_study(
            storage=self._storage,
            study_name=search.id,
            sampler=RandomSampler(),
            pruner=self._pruner(),
        )

    @property
    def entries(self) -> list[str]:
        """What this study has to add to the journal."""
        return self._journal.added

    def ask(self) -> tuple[int, dict[Name, float]]:
        """The number of the next trial, and its point."""
        self._study.sampler = self._sampler(len(self._trials()))
        trial = self._study.ask()
        point = {name: _suggested(trial, name, values) for name, values in self._space.items()}
        self._study.sampler = RandomSampler()
        return trial.number, point

    def ended(self, number: int) -> bool:
        """Whether Optuna knows what came of the trial."""
        return self._trials()[number].state.is_finished()

    def tell(self, number: int, loss: float) -> None:
        """The trial was completed; the loss is infinite where it diverged."""
        self._study.tell(number, loss)

    def tell_pruned(self, number: int) -> None:
        self._study.tell(number, state=TrialState.PRUNED)

    def tell_lost(self, number: int) -> None:
        """Nothing is to be learned of the trial."""
        self._study.tell(number, state=TrialState.FAIL)

    def report(self, number: int, step: int, loss: float) -> bool:
        """A loss of a trial that goes on; whether it is to end early because of it.

        The same answer as before where a resumed trial measures again what was reported already: that it goes on.
        """
        trial = self._trials()[number]
        if step in trial.intermediate_values or trial.state.is_finished():
            return False
        study_id = self._storage.get_study_id_from_name(self._study.study_name)
        trial_id = self._storage.get_trial_id_from_study_id_trial_number(study_id, number)
        self._storage.set_trial_intermediate_value(trial_id, step, loss)
        last = step >= self._request.pretrain.steps
        return not last and self._study.pruner.prune(self._study, self._trials()[number])

    def _trials(self) -> list[FrozenTrial]:
        return self._study.get_trials(deepcopy=False)

    def _sampler(self, number: int) -> BaseSampler:
        match self._request.sampler:
            case "grid":
                # The seed fixes the order of the grid, which all trials must agree on.
                return GridSampler({n: _grid(n, v) for n, v in self._space.items()}, seed=_seed(self._request.seed))
            case "random":
                return RandomSampler(seed=_seed(self._request.seed, number))
            case "tpe":
                return TPESampler(seed=_seed(self._request.seed, number), n_startup_trials=self._startup_trials())

    def _startup_trials(self) -> int:
        """Optuna's own number where there are trials enough, else a third of them."""
        return min(10, -(-self._request.trials // 3))

    def _pruner(self) -> BasePruner:
        asked, steps = self._request.pruner, self._request.pretrain.steps
        match asked.name:
            case "median":
                warmup = round(asked.after_fraction * steps)
                return MedianPruner(n_startup_trials=asked.after_trials, n_warmup_steps=warmup)
            case "successive_halving":
                least = max(1, steps // HALVING**2)
                return SuccessiveHalvingPruner(min_resource=least, reduction_factor=HALVING)
            case "none":
                return NopPruner()


def _suggested(trial: optuna.Trial, name: Name, values: Values) -> float:
    match values:
        case PowersOfTwo(powers_of_two=(low, high)):
            return float(2.0 ** trial.suggest_int(name, low, high))
        case Choices(choices=choices):
            return float(trial.suggest_categorical(name, choices))
        case Range(low=low, log=log) if name in WHOLE:
            step = int(values.step or 1)
            return trial.suggest_int(name, int(low), int(_last(values, step)), log=log, step=step)
        case Range(low=low, high=high, step=None, log=log):
            return trial.suggest_float(name, low, high, log=log)
        case Range(low=low, step=float(step)):
            return trial.suggest_float(name, low, _last(values, step), step=step)
    raise AssertionError(values)


def _grid(name: Name, values: Values) -> Sequence[float]:
    """All values as they are suggested; those of a range with steps, which a grid takes alone."""
    match values:
        case PowersOfTwo(powers_of_two=(low, high)):
            return range(low, high + 1)
        case Choices(choices=choices):
            return choices
        case Range(low=low):
            step = values.step or 1
            count = 1 + round((_last(values, step) - low) / step)
            found: Mapping[bool, Sequence[float]] = {
                True: [int(low + number * step) for number in range(count)],
                False: [low + number * step for number in range(count)],
            }
            return found[name in WHOLE]


def _last(values: Range, step: float) -> float:
    """The largest value that steps from the lowest reach."""
    return values.low + step * int((values.high - values.low) / step + 1e-9)


def _seed(seed: int, number: int | None = None) -> int:
    """Of the sampler of one trial, or of all; 32 bits, which is what it takes."""
    return int.from_bytes(blake2b(f"{seed}/{number}".encode(), digest_size=4).digest(), "little")
