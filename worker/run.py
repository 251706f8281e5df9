"""One job, top to bottom: plan, fit, expand, verify, commit."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Protocol

from growth.checkpoint import CheckpointReader
from growth.errors import InvalidData
from growth.expand import expand
from growth.operators import parse_method
from growth.operators.artefact import load_operator, save_operator
from growth.operators.ligo import Ligo
from growth.operators.operator import GrowthOperator
from growth.plan import GrowthPlan, make_plan
from growth.source import SourceCheckpoint, read_source
from jobs.schema import FitPoint, GrowthRequest, Plan, Result, Stage
from storage import Storage, Uri
from storage.folder import Folder
from worker.commit import Fitted, Grown, commit
from worker.corpus import Corpus
from worker.data import load_corpus
from worker.errors import SourceChanged
from worker.fit_state import FitStates, state_folder
from worker.fitting import fit_operator, pick_device
from worker.messages import Work
from worker.output import Output
from worker.settings import WorkerSettings
from worker.verifying import verify_output
from worker.written import written_reader

VERIFIED_BATCH = 8


class Report(Protocol):
    """Whom a job tells how it gets on; each may raise to stop it."""

    def stage(self, stage: Stage) -> None: ...

    def progress(self, fraction: float) -> None:
        """Of the present stage."""

    def fitted(self, point: FitPoint) -> None: ...

    def ask_to_commit(self) -> None:
        """Called directly before the manifest is put; returns only where the job is still ours."""


class Stages:
    """Tells each stage as it begins, and measures it."""

    def __init__(self, report: Report) -> None:
        self._report = report
        self.seconds: dict[str, float] = {}

    @contextmanager
    def __call__(self, stage: Stage) -> Iterator[None]:
        self._report.stage(stage)
        started = time.monotonic()
        yield
        self.seconds[stage] = round(time.monotonic() - started, 3)


@dataclass(frozen=True)
class Opened:
    """A job whose every input has been looked at."""

    plan: GrowthPlan
    reader: CheckpointReader
    operator: GrowthOperator | None
    """None where it is to be fitted."""
    corpus: Corpus | None


def run_job(work: Work, storage: Storage, settings: WorkerSettings, report: Report) -> Result:
    """Does the work and returns what it left behind, or what an earlier attempt at the job has left.

    Raises what `worker.failures` lists.
    """
    request, stages = work.request, Stages(report)
    output = Output(storage, Uri.parse(request.output), work.job_id)
    source = Folder(storage, Uri.parse(request.source))
    device = pick_device() if settings.device == "auto" else settings.device
    with stages(Stage.PLANNING):
        if (committed := output.committed()) is not None:
            return committed
        output.clear(attempts_before=work.attempt > 1)
        opened = _open(work, storage, source)
    plan, operator, fitted, verification = opened.plan, opened.operator, None, None
    if operator is None:
        with stages(Stage.FITTING):
            operator, fitted = _fit(work, opened, storage, settings, output, report, device)
    with stages(Stage.EXPANDING):
        shards = expand(
            plan, operator, opened.reader, output.opener(work.attempt, len(plan.shards)), report.progress, device
        )
    if request.verify:
        with stages(Stage.VERIFYING):
            written = written_reader(Folder(storage, output.uri), shards)
            verification = verify_output(plan, opened.reader, written, opened.corpus, device=device)
    with stages(Stage.COMMITTING):
        grown = Grown(shards, fitted, verification, stages.seconds)
        result = commit(output, work.attempt, request, plan, source, grown, report.ask_to_commit)
    return result.model_copy(update={"stage_seconds": stages.seconds})


def plan_of(request: GrowthRequest, checkpoint: SourceCheckpoint) -> GrowthPlan:
    """The plan of a request for this source. Raises GrowthError."""
    return make_plan(
        checkpoint.config,
        checkpoint.tensors,
        request.target,
        parse_method({"name": request.method.name, **request.method.options}),
        dtype=request.dtype,
        seed=request.seed,
        max_shard_bytes=request.max_shard_bytes,
    )


def _open(work: Work, storage: Storage, source: Folder) -> Opened:
    request = work.request
    plan = plan_of(request, read_source(source))
    _check_unchanged(work.plan, plan)
    return Opened(
        plan,
        CheckpointReader(source, plan.source_tensors),
        _closed_form(plan, storage),
        _corpus(request, plan, storage, source),
    )


def _check_unchanged(planned: Plan | None, plan: GrowthPlan) -> None:
    found = Plan.model_validate(plan.summary())
    if planned is not None and (planned.source, planned.target) != (found.source, found.target):
        raise SourceChanged("The source is another model now than when the job was submitted.")


def _closed_form(plan: GrowthPlan, storage: Storage) -> GrowthOperator | None:
    if not isinstance(plan.method, Ligo):
        return plan.operator
    if plan.method.operator is None:
        return None
    return load_operator(storage.read(Uri.parse(plan.method.operator)), plan)


def _corpus(request: GrowthRequest, plan: GrowthPlan, storage: Storage, source: Folder) -> Corpus | None:
    if request.data is None:
        return None
    batch = plan.method.batch_size if isinstance(plan.method, Ligo) else VERIFIED_BATCH
    return load_corpus(storage, request.data, source, plan.source, batch_size=batch, seed=request.seed)


def _fit(
    work: Work,
    opened: Opened,
    storage: Storage,
    settings: WorkerSettings,
    output: Output,
    report: Report,
    device: str,
) -> tuple[GrowthOperator, Fitted]:
    plan, data = opened.plan, work.request.data
    assert isinstance(plan.method, Ligo)
    if opened.corpus is None or data is None:
        raise InvalidData(f"Method {plan.method.name!r} learns on data; name some under data.uri.")
    steps = plan.method.steps
    reads = [Uri.parse(work.request.source), Uri.parse(data.uri)]

    def on_point(point: FitPoint) -> None:
        report.fitted(point)
        report.progress(point.step / steps)

    outcome, told = fit_operator(
        plan,
        opened.reader,
        opened.corpus,
        FitStates(storage, state_folder(settings.state_uri, work.job_id), reads),
        on_point,
        checkpoint_seconds=settings.fit_checkpoint_seconds,
        device=device,
    )
    written = output.put(output.operator_name(work.attempt), save_operator(outcome.operator, plan))
    return outcome.operator, Fitted(written, told)
