"""The planning stage: every input of a job looked at, so that what is wrong with one is told before hours of work."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from growth.checkpoint import CheckpointReader
from growth.errors import InvalidData, InvalidOperator
from growth.inputs import refuse_corpus
from growth.operators import parse_method
from growth.operators.artefact import load_operator
from growth.operators.belonging import most_bytes
from growth.operators.ligo import Ligo
from growth.operators.operator import GrowthOperator
from growth.plan import GrowthPlan, make_plan
from growth.source import SourceCheckpoint, read_source
from growth.untrained import check_corpus, check_no_state, trained_first, untrained_source
from jobs.schema import GrowthRequest, Plan, Untrained
from storage import ObjectStore, Uri
from storage.folder import Folder
from worker.corpus import Corpus
from worker.errors import SourceChanged
from worker.messages import Work
from worker.optimizer import OptimizerState, with_state

VERIFIED_BATCH = 8


@dataclass(frozen=True)
class Opened:
    """What the later stages work on."""

    plan: GrowthPlan
    checkpoint: SourceCheckpoint
    reader: CheckpointReader
    operator: GrowthOperator | None
    """None where it is to be fitted, on the corpus."""
    corpus: Corpus | None
    state: OptimizerState | None

    @property
    def selects(self) -> bool:
        """Whether the plan's method is one of several, and there is a loss to tell them apart by."""
        return self.plan.selection is not None and self.corpus is not None and self.plan.source.headed


def open_inputs(work: Work, store: ObjectStore, source: Folder) -> Opened:
    """The job's plan and inputs. Raises GrowthError, StorageError, SourceChanged."""
    checkpoint = read_source(source)
    plan = plan_of(work.request, checkpoint)
    _check_unchanged(work.plan, plan)
    plan, state = with_state(plan, work.request, store)
    operator, corpus = _operator(plan, store), _corpus(work.request, plan, store, source)
    if operator is None and corpus is None:
        raise InvalidData(f"Method {plan.method.name!r} learns on data; name some under data.uri.")
    return Opened(plan, checkpoint, CheckpointReader(source, checkpoint.tensors), operator, corpus, state)


def plan_untrained(work: Work, source: Untrained, store: ObjectStore) -> None:
    """Looks whether the source can be trained and then grown, before it is there. Raises as `open_inputs`."""
    plan = plan_of(work.request, untrained_checkpoint(work.request, source))
    _check_unchanged(work.plan, plan)
    _operator(plan, store)


def source_checkpoint(request: GrowthRequest, store: ObjectStore) -> SourceCheckpoint:
    """The source as it is, or as it will be once it is trained. Raises GrowthError, StorageError."""
    if isinstance(request.source, Untrained):
        return untrained_checkpoint(request, request.source)
    return read_source(Folder(store, Uri.parse(request.source)))


def untrained_checkpoint(request: GrowthRequest, source: Untrained) -> SourceCheckpoint:
    """The checkpoint that training the request's source will leave. Raises GrowthError where it can't be trained."""
    checkpoint = untrained_source(source.config)
    data_format = None if request.data is None else request.data.format
    check_corpus(checkpoint.config, data_format, tokenizer=source.tokenizer is not None)
    check_no_state(request.source_optimizer)
    return checkpoint


def plan_of(
    request: GrowthRequest, checkpoint: SourceCheckpoint, method: Mapping[str, Any] | None = None
) -> GrowthPlan:
    """The plan of a request for this source, by `method` where it is not the request's own. Raises GrowthError."""
    plan = make_plan(
        checkpoint.config,
        checkpoint.tensors,
        request.target,
        parse_method(dict(method or {"name": request.method.name, **request.method.options})),
        dtype=request.dtype,
        seed=request.seed,
        expert_noise=request.expert_noise,
        max_shard_bytes=request.max_shard_bytes,
    )
    if not isinstance(request.source, Untrained) or request.data is None:
        return plan
    asked, length = request.source.pretrain, request.data.sequence_length
    return trained_first(plan, steps=asked.steps, batch_size=asked.batch_size, length=length)


def _check_unchanged(planned: Plan | None, plan: GrowthPlan) -> None:
    found = Plan.model_validate(plan.summary())
    if planned is not None and (planned.source, planned.target) != (found.source, found.target):
        raise SourceChanged("The source is another model now than when the job was submitted.")


def _operator(plan: GrowthPlan, store: ObjectStore) -> GrowthOperator | None:
    if not isinstance(plan.method, Ligo):
        return plan.operator
    if plan.method.operator is None:
        return None
    uri, most = Uri.parse(plan.method.operator), most_bytes(plan)
    if (size := store.head(uri).size) > most:
        raise InvalidOperator(
            f"The operator file has {size} bytes; none between these two models has more than {most}."
        )
    return load_operator(store.read(uri, 0, most), plan)


def _corpus(request: GrowthRequest, plan: GrowthPlan, store: ObjectStore, source: Folder) -> Corpus | None:
    if request.data is None:
        return None
    refuse_corpus(plan.source, request.data.format)
    # Late, because it takes transformers, and transformers takes its time.
    from worker.data import load_corpus

    batch = plan.method.batch_size if isinstance(plan.method, Ligo) else VERIFIED_BATCH
    return load_corpus(store, request.data, source, plan.source, batch_size=batch, seed=request.seed)
