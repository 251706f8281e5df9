"""What travels between client, service and worker: the request, its plan, the job, its events.

Only shapes and bounds that need no model are checked here. Whether a target can be reached, and which options a
method takes, is the engine's word (`growth.plan`), because there a method and its options are one file.
"""

from datetime import datetime
from enum import StrEnum
from typing import Annotated, Any, Literal

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Discriminator,
    Field,
    JsonValue,
    StringConstraints,
    Tag,
    ValidationInfo,
    WrapValidator,
    field_validator,
)

from jobs.tolerance import without_unknown

MAX_SIZE = 2**31 - 1
MAX_LABELS = 32
MAX_MEASUREMENTS = 10_000
"""Of the held-out loss in one training: each is a point of the curve that its job keeps."""


def _whole(value: object) -> object:
    # JSON has one kind of number: 64.0 is the integer 64, and there are writers that write it so.
    return int(value) if isinstance(value, float) and value.is_integer() else value


WHOLE_NUMBER = BeforeValidator(_whole)
STORAGE_URI_PATTERN = r"^(s3|file)://[^\s\x00-\x1f\x7f-\x9f]+$"
StorageUri = Annotated[
    str,
    StringConstraints(pattern=STORAGE_URI_PATTERN, max_length=2048),
    Field(description="`s3://bucket/prefix` or `file:///absolute/folder`"),
]
WebhookUrl = Annotated[str, StringConstraints(pattern=r"^https?://[!-~]+$", max_length=2048)]
Size = Annotated[int, Field(strict=True, ge=1, le=MAX_SIZE), WHOLE_NUMBER]
Label = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9._/-]{1,63}$")]
LabelValue = Annotated[str, StringConstraints(max_length=256)]
MethodName = Annotated[str, StringConstraints(pattern=r"^[a-z0-9_]{1,40}$")]
Dtype = Literal["float32", "bfloat16", "float16"]
Priority = Literal["high", "normal", "low"]


class Closed(BaseModel):
    """A model that refuses fields it does not know, so that a typing error is never silently ignored."""

    model_config = ConfigDict(extra="forbid", use_attribute_docstrings=True)


class Answer(BaseModel):
    """A model that passes over fields it does not know, so that an older client reads what a newer service says."""

    model_config = ConfigDict(extra="ignore", use_attribute_docstrings=True)


class Method(BaseModel):
    """A growth method by name, its options beside the name; `GET /methods` lists both."""

    model_config = ConfigDict(extra="allow", use_attribute_docstrings=True)

    __pydantic_extra__: dict[str, JsonValue]

    name: MethodName
    """One of the names that `GET /methods` lists."""

    @property
    def options(self) -> dict[str, Any]:
        """The options as given, without the name."""
        return dict(self.__pydantic_extra__ or {})


class Data(Closed):
    """The text or the labelled images that a fit, the choice of `auto` and the verification read.

    Files are read by ranges, and tokenised or decoded, as they are needed: a corpus may be of any size.
    """

    uri: StorageUri
    """A file, or a prefix with files under it at any depth; for `images`, a prefix with a folder for each label."""
    format: Literal["text", "jsonl", "parquet", "tokens", "images"] = "text"
    """`text`, `jsonl` and `parquet` (the `.parquet` files) go through the source's own tokenizer; `tokens` are token
    ids, in `.npy` arrays and raw little-endian `.bin` files; `images` are `<label>/*.png`, `.jpg` or `.jpeg`. For a
    model that classifies images, `parquet` holds images and labels."""
    text_field: Annotated[str, StringConstraints(min_length=1, max_length=256)] = "text"
    """For `jsonl`: the key that holds the text of a line. For `parquet`: the column that holds that of a row."""
    token_dtype: Literal["uint16", "uint32", "int32", "int64"] = "uint16"  # noqa: S105
    """For `tokens`: what a `.bin` file holds; a `.npy` tells its own."""
    image_field: Annotated[str, StringConstraints(min_length=1, max_length=256)] = "image"
    """For images in `parquet`: the column of encoded images, as bytes or as a struct with `bytes` in it."""
    label_field: Annotated[str, StringConstraints(min_length=1, max_length=256)] = "label"
    """For images in `parquet`: the column of labels, numbers or names of the config's `label2id`."""
    sequence_length: Annotated[int, Field(strict=True, ge=8, le=131_072), WHOLE_NUMBER] = 128
    """Tokens in one packed sequence; at most the model's positions."""
    held_out_fraction: Annotated[float, Field(gt=0, le=0.5)] = 0.1
    """The share of the sequences or images that no fit sees, 64 of them at most; reported losses are measured on it.
    Of text and tokens it is the first sequences, the files in the order of their names, and a share of the first 1,024
    where there are more (of fewer where they are longer than 2,048 tokens). Images are taken from the whole: of
    folders by a hash of their names, of `parquet` evenly from at most eight row groups."""


class Pretraining(Closed):
    """How an untrained source is trained before it grows: AdamW on the job's own `data`."""

    steps: Annotated[int, Field(strict=True, ge=1, le=1_000_000), WHOLE_NUMBER]
    """Optimizer steps."""
    batch_size: Annotated[int, Field(strict=True, ge=1, le=65_536), WHOLE_NUMBER] = 16
    """Sequences in a step."""
    learning_rate: Annotated[float, Field(gt=0, le=1)] = 1e-3
    """At its peak, after the warm-up."""
    warmup_fraction: Annotated[float, Field(ge=0, le=0.9)] = 0.05
    """The share of the steps in which the rate rises."""
    decay: Literal["none", "linear", "cosine"] = "cosine"
    """How the rate falls after the warm-up, to 0 behind the last step."""
    weight_decay: Annotated[float, Field(ge=0, le=10)] = 0.1
    """Of matrices; norms, biases and embeddings have none."""
    beta1: Annotated[float, Field(ge=0, lt=1)] = 0.9
    """Of AdamW: how much of the mean gradient each step keeps."""
    beta2: Annotated[float, Field(ge=0, lt=1)] = 0.999
    """Of AdamW: how much of the mean squared gradient each step keeps."""
    gradient_clip: Annotated[float, Field(ge=0, le=1e6)] = 1.0
    """The largest norm of the gradient; 0 is no clipping."""
    held_out_every: Annotated[int, Field(strict=True, ge=1, le=1_000_000, validate_default=True), WHOLE_NUMBER] = 50
    """Steps between two measurements of the held-out loss; there are at most 10,000."""

    @field_validator("held_out_every")
    @classmethod
    def _few_enough(cls, value: int, info: ValidationInfo) -> int:
        steps = info.data.get("steps")
        if steps is not None and steps > value * MAX_MEASUREMENTS:
            raise ValueError(f"{steps} steps are measured more than {MAX_MEASUREMENTS} times; measure less often")
        return value


class Untrained(Closed):
    """A source that is no checkpoint yet: the job trains it first, then grows it."""

    config: dict[str, JsonValue]
    """A Hugging Face config.json, of a family that is trained on running text; weights start as transformers has them.
    """
    pretrain: Pretraining
    tokenizer: StorageUri | None = None
    """A folder with tokenizer files, which the target takes over; only `tokens` data of causal models needs none."""


class Training(Closed):
    """The hyper-parameters that the source was trained with, as `torch.optim` names and defaults them."""

    optimizer: Literal["adamw", "adam", "sgd"] = "adamw"
    """The class of `torch.optim`."""
    learning_rate: Annotated[float, Field(gt=0, le=1000)]
    """At its peak."""
    weight_decay: Annotated[float, Field(ge=0, le=1000)] = 0.0
    """Of all but norms and biases."""
    betas: tuple[Annotated[float, Field(ge=0, lt=1)], Annotated[float, Field(ge=0, lt=1)]] = (0.9, 0.999)
    """Adam's."""
    epsilon: Annotated[float, Field(gt=0, le=1)] = 1e-8
    """Adam's."""


def _source_kind(value: object) -> str:
    return UNTRAINED_TAG if isinstance(value, dict | Untrained) else URI_TAG


URI_TAG, UNTRAINED_TAG = "[uri]", "[untrained]"
SOURCE_TAGS = frozenset({URI_TAG, UNTRAINED_TAG})
"""Stand behind `source` in the places that pydantic's errors name, and are no part of the request."""
Source = Annotated[
    Annotated[StorageUri, Tag(URI_TAG)] | Annotated[Untrained, Tag(UNTRAINED_TAG)], Discriminator(_source_kind)
]


def _named(value: object) -> object:
    return {"name": value} if isinstance(value, str) else value


class GrowthRequest(Closed):
    """Grow the checkpoint at `source` to the sizes in `target` and write it to `output`."""

    model_config = ConfigDict(
        extra="forbid",
        use_attribute_docstrings=True,
        json_schema_extra={
            "examples": [
                {
                    "source": "s3://models/bert-small",
                    "output": "s3://models/bert-base",
                    "target": {"hidden_size": 768, "num_hidden_layers": 12},
                    "method": {"name": "ligo", "steps": 100, "init": "pad"},
                    "data": {"uri": "s3://corpora/wiki/", "format": "jsonl", "text_field": "text"},
                    "dtype": "bfloat16",
                    "seed": 0,
                    "labels": {"team": "nlp"},
                }
            ]
        },
    )

    source: Source
    """The folder of a Hugging Face checkpoint: `config.json` and safetensors. Or the config of a source that the job
    itself trains first."""
    source_optimizer: StorageUri | None = None
    """AdamW's state of the source in safetensors, a file or a folder; it is grown and written beside the weights."""
    training: Training | None = None
    """What the source was trained with. `training.json` in the output tells what the target is to be trained with, in
    multiples of these, or of any others where this is left out."""
    output: StorageUri
    """An empty prefix; the grown checkpoint is written there in Hugging Face layout."""
    target: Annotated[dict[str, Size], Field(max_length=32)]
    """Sizes under the family's own Hugging Face config keys; what is left out is derived (see `POST /plan`)."""
    expert_noise: Annotated[float, Field(ge=0, le=10)] = 0.0
    """Parts the experts of a dense model that becomes a mixture, whose function then changes: a standard deviation, in
    units of each weight's own."""
    method: Annotated[Method, BeforeValidator(_named, json_schema_input_type=MethodName | Method)]
    """`"hypercloning"` is short for `{"name": "hypercloning"}`."""
    data: Data | None = None
    """Needed by methods that fit and by an untrained source; without it, verification reads seeded random inputs and
    reports no loss."""
    dtype: Dtype | None = None
    """The dtype that is written; the source's own where left out. The arithmetic is float32 always."""
    seed: Annotated[int, Field(strict=True, ge=0, lt=2**63), WHOLE_NUMBER] = 0
    """Seeds every random choice: the same request writes the same bytes."""
    labels: Annotated[
        dict[Label, LabelValue], Field(max_length=MAX_LABELS, json_schema_extra={"additionalProperties": False})
    ] = Field(default_factory=dict)
    """Free words to find the job by."""
    webhook: WebhookUrl | None = None
    """Where to send a signed message once the job has ended (docs/webhooks.md)."""
    priority: Priority = "normal"
    """Which jobs wait for which: those of a higher priority start first, but never stop one that runs."""
    max_shard_bytes: Annotated[int, Field(strict=True, ge=1_000_000, le=50_000_000_000), WHOLE_NUMBER] = 5_000_000_000
    """No safetensors shard is larger, save one that holds a single larger tensor."""
    verify: bool = True
    """Load source and target and compare their logits before the commit."""


class ModelSize(Answer):
    """One model, by what it takes to store and run."""

    sizes: dict[str, int]
    """Hugging Face config keys and their values."""
    parameters: int
    weight_bytes: int
    flops_per_token: int
    """Of one forward pass, matrix products alone (2 per multiply-add); an image's tokens are its patches."""


class Candidate(Answer):
    """A method that `auto` looked at."""

    label: str
    """The method in short, such as `pad + stack`."""
    method: dict[str, JsonValue]
    """The method with every option."""
    open: bool
    """Whether a measured loss may pick it; the rule alone decides against the others."""
    refusal: str
    """Why it can't reach the target; empty where it can."""
    held_out_loss: float | None = None
    """Right after growth, nats per token to four decimals, where it was measured."""


class Selection(Answer):
    """Which method `auto` picked, and how."""

    label: str
    method: dict[str, JsonValue]
    """The method that was picked, with every option."""
    reason: str
    candidates: list[Candidate]
    """In the order of the rule's preference."""


class Plan(Answer):
    """What a request would do, computed from the source's config and safetensors headers alone."""

    model_type: str
    architecture: str
    """The class named in the source's config.json, such as `LlamaForCausalLM`."""
    method: dict[str, JsonValue]
    """The method with every option that was left out filled in; the one picked where `auto` was asked for."""
    function_preserving: bool
    """Whether the grown model computes the source's function, up to rounding."""
    source: ModelSize
    target: ModelSize
    dtype: Dtype
    tensors: int
    shards: int
    largest_tensor_bytes: int
    peak_memory_bytes: int
    """An estimate for the worker: of the expansion, or of the fit where there is one."""
    notes: list[str] = Field(default_factory=list)
    """Choices worth knowing, one sentence each: a head untied, a form chosen for exactness."""
    selection: Selection | None = None
    """How `auto` picked the method; on `data` the worker may pick another of the candidates that are open."""


class Status(StrEnum):
    QUEUED = "queued"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def terminal(self) -> bool:
        return self in TERMINAL


TERMINAL = frozenset({Status.SUCCEEDED, Status.FAILED, Status.CANCELLED})


class Stage(StrEnum):
    PLANNING = "planning"
    PRETRAINING = "pretraining"
    SELECTING = "selecting"
    FITTING = "fitting"
    EXPANDING = "expanding"
    VERIFYING = "verifying"
    COMMITTING = "committing"


class Failure(Answer):
    """Why a job failed: a stable code and one sentence."""

    code: str
    detail: str
    hint: str | None = None
    field: str | None = None
    """A JSON pointer into the request, where one field is to blame."""


class FitPoint(Answer):
    """The losses at one step of a fit, or of the training of a source."""

    step: int
    """0 is the start, before any change."""
    loss: float | None = None
    """Training loss of this step's batch, nats per token."""
    held_out_loss: float | None = None


class FitReport(Answer):
    steps: int
    initial_held_out_loss: float
    final_held_out_loss: float
    parameters: int
    """Learned numbers in the operator."""
    flops_per_step: int = 0
    """Floating-point operations of the products with matrices in one step, forward and back."""
    factored: list[str] = Field(default_factory=list)
    """The target's matrices that were applied as factors in every step; the others were written out, which took fewer
    operations."""
    curve: list[FitPoint] = Field(default_factory=list)


class PretrainingReport(Answer):
    """How the training of an untrained source went."""

    steps: int
    initial_held_out_loss: float
    final_held_out_loss: float
    curve: list[FitPoint] = Field(default_factory=list)
    """The steps at which the held-out loss was measured."""


class Verification(Answer):
    """Source against target on the same inputs."""

    tokens: int
    """Outputs compared: one for each token, or for each image that the head classifies."""
    max_logit_difference: float | None = None
    """Largest absolute difference of logits (or of hidden states, where the model has no head)."""
    max_logit: float | None = None
    """Largest absolute logit of the source, the scale of the difference."""
    source_loss: float | None = None
    target_loss: float | None = None


class Result(Answer):
    """What a succeeded job left behind."""

    output: str
    manifest: str
    """URI of the manifest, whose presence is the commit."""
    bytes_written: int
    objects: int
    pretraining: PretrainingReport | None = None
    """Of the source, where the job has trained it."""
    fit: FitReport | None = None
    verification: Verification | None = None
    selection: Selection | None = None
    """How `auto` picked the method that grew the checkpoint, with the losses that it measured."""
    picture: str | None = None
    """URI of small pictures of the operator, which `GET /jobs/{job_id}/operator` tells."""
    stage_seconds: dict[str, float] = Field(default_factory=dict)


class Delivery(Answer):
    """How far the webhook of an ended job is."""

    state: Literal["pending", "delivered", "failed"]
    attempts: int
    error: str | None = None
    """Why the last attempt did not deliver it."""


class WebhookData(Answer):
    """The job in short; `GET /jobs/{job_id}` has all of it."""

    id: str
    status: Status
    output: str
    labels: dict[str, str]
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    manifest: str | None
    """Of a succeeded job: the URI whose presence is the commit."""
    error: Failure | None


class WebhookMessage(Answer):
    """What a webhook's body holds, in the form of the Standard Webhooks specification."""

    type: Literal["job.succeeded", "job.failed", "job.cancelled"]
    timestamp: datetime
    """When the job ended."""
    data: WebhookData


class WebhookSecret(Answer):
    """What the caller's webhooks are signed with."""

    secret: str
    """As the Standard Webhooks libraries take it: `whsec_` and base64."""


class MapPicture(Answer):
    """A matrix of an operator in at most 64 x 64 cells, or several of one key that look the same."""

    part: Literal["width", "depth"]
    key: str
    """The axis, or the parameter whose layers are mixed, as docs/operator-file.md names them."""
    maps: list[str]
    """Of an axis: `expand`, `contract`, `seen`, `gain`; of layers, none."""
    shape: tuple[int, int]
    """Of the matrix: target size, source size."""
    grid: tuple[int, int]
    """Rows and columns of cells."""
    peak: float
    """The largest magnitude in the matrix."""
    cells: str
    """Base64 of one signed byte for each cell, row by row, in units of `peak / 127`: the entry of largest magnitude in
    the cell's block."""


class OperatorPicture(Answer):
    """What an operator looks like: how each axis grew, and which layers were mixed."""

    pictures: list[MapPicture]
    left_out: int
    """Axes and parameters beyond those that are shown."""


class JobState(Answer):
    """What every job has, whatever it does."""

    id: str
    status: Status
    stage: Stage | None = None
    progress: Annotated[float, Field(ge=0, le=1)] = 0.0
    """Of the present stage; of a search, the share of its trials that have ended."""
    attempt: int = 0
    cancel_requested: bool = False
    owner: str
    """Name of the API key that submitted it."""
    request_id: str | None = None
    """The `X-Request-ID` of the request that submitted it; every log line about the job has it."""
    error: Failure | None = None
    created_at: datetime
    started_at: datetime | None = None
    finished_at: datetime | None = None
    queue_position: int | None = None
    """Jobs ahead of this one while it is queued, by priority and then by time; 0 is next."""
    expected_wait_seconds: int | None = None
    """While it is queued, about how long until it starts: the jobs up to this one, times how long jobs ran lately,
    shared out among as many workers as have a job now. Left out where none has, or none has ended yet."""
    webhook: Delivery | None = None
    """Of an ended job whose request names one."""
    retry_of: str | None = None
    """The job that this one was made to try again."""
    retried_by: str | None = None
    """The job that tries this one again."""
    version: int = 0
    """Grows with every change of the record; the ETag."""


class Job(JobState):
    """A growth."""

    kind: Literal["grow"] = "grow"
    request: Annotated[GrowthRequest, WrapValidator(without_unknown)]
    plan: Plan
    result: Result | None = None


class EventKind(StrEnum):
    STATUS = "status"
    STAGE = "stage"
    PROGRESS = "progress"
    PRETRAINING = "pretraining"
    CANDIDATE = "candidate"
    FIT = "fit"
    TRIAL = "trial"
    LOG = "log"
    RETRIED = "retried"
    WEBHOOK = "webhook"


class Event(Answer):
    id: str
    """Ordered; what `Last-Event-ID` takes."""
    at: datetime
    kind: EventKind
    attempt: int
    data: dict[str, JsonValue]


class EventPage(Answer):
    events: list[Event]
    next_cursor: str | None = None


class MethodDescription(Answer):
    """A growth method, as `GET /methods` tells it."""

    name: str
    summary: str
    paper: str
    fits: bool
    """Whether it learns on `data`."""
    options: dict[str, JsonValue]
    """JSON schema of the options that go beside the name."""


class MethodList(Answer):
    methods: list[MethodDescription]


class ExactGrowth(Answer):
    """What can grow without changing what the model computes, with a method that is made for it."""

    hidden_size: Literal["any", "whole_multiples"]
    """`any`: padded where the ratio is no whole number."""
    num_hidden_layers: bool
    """Added layers can be identity blocks."""
    head_dim: bool


class ArchitectureDescription(Answer):
    """A family of models that can be grown, as `GET /architectures` tells it."""

    model_type: str
    """`model_type` in config.json."""
    classes: list[str]
    """Classes with a language-model head; the family's other classes grow too, where the table has their tensors."""
    norm: str
    post_norm: bool
    """The residual stream itself is normalised after each block."""
    keys: dict[str, str]
    """The sizes that `target` takes, and this family's own name for each."""
    exact: ExactGrowth


class ArchitectureList(Answer):
    architectures: list[ArchitectureDescription]


class Problem(BaseModel):
    """RFC 9457 problem details, with a stable code."""

    model_config = ConfigDict(use_attribute_docstrings=True)

    type: str
    title: str
    status: int
    code: str
    detail: str
    field: str | None = None
    """A JSON pointer into the request's body."""
    hint: str | None = None
    nearest: dict[str, int] | None = None
    """For `impossible_target` and `impossible_proxy`: values that work."""
