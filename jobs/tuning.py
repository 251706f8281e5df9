"""What travels about a search of hyper-parameters: the request, its plan, its trials, what comes of it.

A search (`POST /tune`) and each of its trials are jobs like a growth: `AnyJob` is one of the three.
"""

from datetime import datetime
from enum import StrEnum
from typing import Annotated, Literal, Self

from pydantic import (
    BeforeValidator,
    ConfigDict,
    Discriminator,
    Field,
    JsonValue,
    Tag,
    ValidationError,
    WrapValidator,
    model_validator,
)

from jobs.schema import (
    MAX_LABELS,
    WHOLE_NUMBER,
    Answer,
    Closed,
    Data,
    Failure,
    FitPoint,
    Job,
    JobState,
    Label,
    LabelValue,
    ModelSize,
    Pretraining,
    Priority,
    Status,
    StorageUri,
    Untrained,
    WebhookUrl,
)
from jobs.search_space import DEFAULT_SPACE, WHOLE, Name, Values, all_whole, bounds
from jobs.tolerance import without_unknown

MAX_TRIALS = 512
MAX_POINTS = 64
"""Measurements of the held-out loss in one trial."""
POINTS = 10
LARGEST_INITIALIZER_RANGE = 10.0

Sampler = Literal["tpe", "random", "grid"]
PrunerName = Literal["median", "successive_halving", "none"]


class DerivedProxy(Closed):
    """A proxy made of the target: as deep or shallower, and so many times narrower."""

    width_ratio: Annotated[int, Field(strict=True, ge=1, le=4096), WHOLE_NUMBER]
    """How many times as wide as the proxy the target is: hidden size, feed-forward size and heads; `head_dim` stays."""
    num_hidden_layers: Annotated[int | None, Field(strict=True, ge=1), WHOLE_NUMBER] = None
    """The target's own where left out."""


class GivenProxy(Closed):
    """A proxy of the target's family that is described in full."""

    config: dict[str, JsonValue]
    """A Hugging Face config.json."""


def _proxy_kind(value: object) -> str:
    given = isinstance(value, GivenProxy) or (isinstance(value, dict) and "config" in value)
    return GIVEN_TAG if given else DERIVED_TAG


def _target_kind(value: object) -> str:
    return CONFIG_TAG if isinstance(value, dict) else FOLDER_TAG


GIVEN_TAG, DERIVED_TAG, CONFIG_TAG, FOLDER_TAG = "[given]", "[derived]", "[config]", "[folder]"
TUNE_TAGS = frozenset({GIVEN_TAG, DERIVED_TAG, CONFIG_TAG, FOLDER_TAG})
"""Stand in the places that pydantic's errors name, and are no part of the request."""
Proxy = Annotated[
    Annotated[GivenProxy, Tag(GIVEN_TAG)] | Annotated[DerivedProxy, Tag(DERIVED_TAG)], Discriminator(_proxy_kind)
]
Target = Annotated[
    Annotated[dict[str, JsonValue], Tag(CONFIG_TAG)] | Annotated[StorageUri, Tag(FOLDER_TAG)],
    Discriminator(_target_kind),
]


class Pruner(Closed):
    """When a trial ends early, by its held-out losses beside those of the trials before it."""

    name: PrunerName = "median"
    """`median`: once it is worse than the median of the others at the same step. `successive_halving`: unless it is
    in the better third at 1/9 and at 1/3 of the steps, or so. `none`: never."""
    after_trials: Annotated[int, Field(strict=True, ge=1, le=MAX_TRIALS), WHOLE_NUMBER] = 4
    """`median` lets so many trials run to their end first."""
    after_fraction: Annotated[float, Field(ge=0, lt=1)] = 0.2
    """And every trial for this share of its steps."""


def _named(value: object) -> object:
    return {"name": value} if isinstance(value, str) else value


class TuneRequest(Closed):
    """Find hyper-parameters on a small proxy of `target`, and carry them over to it by muTransfer."""

    model_config = ConfigDict(
        extra="forbid",
        use_attribute_docstrings=True,
        json_schema_extra={
            "examples": [
                {
                    "target": "s3://models/llama-1b",
                    "proxy": {"width_ratio": 8},
                    "tokenizer": "s3://models/llama-1b",
                    "data": {"uri": "s3://corpora/wiki/", "format": "jsonl"},
                    "pretrain": {"steps": 500, "batch_size": 32},
                    "search_space": {
                        "learning_rate": {"powers_of_two": [-12, -5]},
                        "warmup_fraction": {"choices": [0.0, 0.05, 0.1]},
                    },
                    "trials": 32,
                    "parallel": 4,
                    "labels": {"team": "nlp"},
                }
            ]
        },
    )

    target: Target
    """A Hugging Face config.json of the model that is to be trained at last, or the URI of a folder with one."""
    proxy: Proxy
    """The model that the trials train, from random weights: derived from the target, or a config of its own."""
    tokenizer: StorageUri | None = None
    """A folder with tokenizer files; only `tokens` data of causal models needs none."""
    data: Data
    pretrain: Pretraining
    """How a trial trains; what the search space names is drawn for each trial instead. The held-out loss is measured
    ten times in a trial unless `held_out_every` says otherwise, 64 times at most."""
    search_space: Annotated[dict[Name, Values], Field(min_length=1)] = Field(default_factory=lambda: {**DEFAULT_SPACE})
    """Where left out, learning rates over powers of two."""
    trials: Annotated[int, Field(strict=True, ge=1, le=MAX_TRIALS), WHOLE_NUMBER] = 16
    """How many points are tried; a grid has no more than it has points."""
    parallel: Annotated[int, Field(strict=True, ge=1, le=64), WHOLE_NUMBER] = 1
    """Trials side by side, on as many workers as are free."""
    sampler: Sampler = "tpe"
    """How the next point is chosen: `tpe` learns from the trials before it; with one trial at a time, `seed` fixes all
    its choices. Those of `random` and `grid` it fixes always."""
    pruner: Annotated[Pruner, BeforeValidator(_named, json_schema_input_type=PrunerName | Pruner)] = Field(
        default_factory=Pruner
    )
    """`"median"` is short for `{"name": "median"}`."""
    seed: Annotated[int, Field(strict=True, ge=0, lt=2**63), WHOLE_NUMBER] = 0
    """Seeds the choice of points, and the weights and the order of the data, which all trials have in common."""
    labels: Annotated[dict[Label, LabelValue], Field(max_length=MAX_LABELS)] = Field(default_factory=dict)
    """Free words to find the job by."""
    webhook: WebhookUrl | None = None
    """Where to send a signed message once the search has ended (docs/webhooks.md)."""
    priority: Priority = "normal"
    """Of the search and of its trials: which jobs wait for which."""

    @model_validator(mode="after")
    def _drawn_values_are_usable(self) -> Self:
        for name, values in self.search_space.items():
            if name in WHOLE and not all_whole(values):
                raise ValueError(f"{name} is a whole number, and so is all that search_space.{name} names")
            for value in bounds(values):
                _check_usable(self.pretrain, name, value)
        return self

    @model_validator(mode="after")
    def _measured_often_enough(self) -> Self:
        train = self.pretrain
        if "held_out_every" not in train.model_fields_set:
            every = max(1, train.steps // POINTS)
            self.pretrain = train.model_copy(update={"held_out_every": every})
            self.pretrain.model_fields_set.add("held_out_every")
        elif train.steps > train.held_out_every * MAX_POINTS:
            raise ValueError(
                f"{train.steps} steps are measured more than {MAX_POINTS} times; measure less often with "
                "pretrain.held_out_every"
            )
        return self


def _check_usable(train: Pretraining, name: Name, value: float) -> None:
    if name == "initializer_range":
        if not 0 < value < LARGEST_INITIALIZER_RANGE:
            raise ValueError(f"search_space.{name} reaches {value:g}; it must lie above 0 and below 10")
        return
    try:
        Pretraining.model_validate({**train.model_dump(), name: int(value) if name in WHOLE else value})
    except ValidationError as error:
        said = error.errors()[0]["msg"].removeprefix("Input ").lower()
        raise ValueError(f"search_space.{name} reaches {value:g}; it {said}") from None


class TunePlan(Answer):
    """What a search will do, computed from the configs alone."""

    model_type: str
    proxy: ModelSize
    target: ModelSize
    proxy_config: dict[str, JsonValue]
    target_config: dict[str, JsonValue]
    search_space: dict[Name, Values]
    trials: int
    """The budget, or the points of the grid where those are fewer."""
    flops_per_trial: int
    """Of the training of a whole trial, forward and back, products with matrices alone, with `pretrain.batch_size`."""
    flops: int
    """Of the whole search where no trial is pruned."""
    notes: list[str] = Field(default_factory=list)


class TrialRequest(Closed):
    """One point of a search: a proxy and how it is trained."""

    source: Untrained
    data: Data
    seed: int


class TrialState(StrEnum):
    QUEUED = "queued"
    RUNNING = "running"
    COMPLETED = "completed"
    PRUNED = "pruned"
    DIVERGED = "diverged"
    FAILED = "failed"
    CANCELLED = "cancelled"


class TrialResult(Answer):
    """How far a trial came."""

    steps: int
    held_out_loss: float
    """Measured last, nats per token."""
    pruned: bool = False
    """Ended early, because it was worse than others."""


class Trial(Answer):
    """A trial as its search tells of it; `GET /jobs/{job_id}` has the whole."""

    number: int
    job_id: str
    state: TrialState
    point: dict[Name, float]
    """What was drawn from the search space."""
    steps: int = 0
    """Trained so far, as of the last measurement."""
    held_out_loss: float | None = None
    """Measured last."""
    flops: int = 0
    """Of the steps so far."""
    attempt: int = 0
    error: Failure | None = None
    curve: list[FitPoint] = Field(default_factory=list)
    """The steps at which the held-out loss was measured."""


class Best(Answer):
    """The completed trial with the lowest held-out loss."""

    number: int
    job_id: str
    point: dict[Name, float]
    held_out_loss: float


class TuneResult(Answer):
    """What a search found."""

    best: Best
    hyperparameters: dict[str, float]
    """All of the best trial, those drawn and those given, as they hold for the proxy."""
    transfer: dict[str, JsonValue]
    """How they hold for the target: what `training.json` holds, tensor by tensor."""
    completed: int
    pruned: int
    diverged: int
    failed: int
    flops: int
    """Of all steps of all trials, forward and back."""


class TuneJob(JobState):
    """A search."""

    kind: Literal["tune"] = "tune"
    request: Annotated[TuneRequest, WrapValidator(without_unknown)]
    plan: TunePlan
    result: TuneResult | None = None
    trials: list[Trial] | None = None
    """In the order in which they were begun; left out in a list of jobs."""


class TrialJob(JobState):
    """One trial of a search."""

    kind: Literal["trial"] = "trial"
    search: str
    """Id of the search."""
    number: int
    """In the search, from 0 on."""
    point: dict[Name, float]
    request: Annotated[TrialRequest, WrapValidator(without_unknown)]
    result: TrialResult | None = None
    pruned: bool = False
    """Told to end early."""
    curve: list[FitPoint] = Field(default_factory=list)
    """The steps at which the held-out loss was measured; left out in a list of jobs."""


class SearchWebhookData(Answer):
    """The search in short; `GET /jobs/{job_id}` has all of it."""

    id: str
    status: Status
    labels: dict[str, str]
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    best: Best | None
    """Of a search that succeeded."""
    error: Failure | None


class SearchWebhookMessage(Answer):
    """What the body of a search's webhook holds, in the form of the Standard Webhooks specification."""

    type: Literal["search.succeeded", "search.failed", "search.cancelled"]
    timestamp: datetime
    """When the search ended."""
    data: SearchWebhookData


AnyJob = Annotated[Job | TuneJob | TrialJob, Discriminator("kind")]


class JobPage(Answer):
    jobs: list[AnyJob]
    next_cursor: str | None = None
