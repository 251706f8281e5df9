"""`grow run`: the same job in this process, without a service, a queue or Redis."""

import json
import signal
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, NoReturn

import structlog
import typer
from pydantic import ValidationError
from rich.console import Console
from rich.progress import Progress

from jobs.record import microseconds, new_id
from jobs.redaction import Redactor, redact_logs
from jobs.schema import SOURCE_TAGS, Candidate, Failure, FitPoint, GrowthRequest, Job, Plan, Result, Stage, Status
from jobs.startup import starting
from storage import Storage, StorageError, Uri
from telemetry.logs import configure_logs
from worker.failures import concluded
from worker.fit_state import forget, state_folder
from worker.messages import Failed, Work
from worker.optimizer import with_state
from worker.output import Output
from worker.planning import plan_of, source_checkpoint
from worker.run import run_job
from worker.settings import WorkerSettings, open_storage

OWNER = "local"
REFUSED = 2
EXIT_CODES = {Status.SUCCEEDED: 0, Status.FAILED: 1, Status.CANCELLED: 3}

log = structlog.get_logger()


class Bar:
    """A `worker.report.Report` on the terminal."""

    def __init__(self, bar: Progress) -> None:
        self._bar = bar
        self._task = bar.add_task("", total=1.0)

    def stage(self, stage: Stage) -> None:
        self._bar.reset(self._task, description=stage.value)

    def progress(self, fraction: float) -> None:
        self._bar.update(self._task, completed=fraction)

    def pretrained(self, point: FitPoint) -> None:
        self.fitted(point)

    def measured(self, candidate: Candidate) -> None:
        loss = "not finite" if candidate.held_out_loss is None else f"{candidate.held_out_loss:.4f}"
        self._bar.console.print(f"{candidate.label}: held-out loss {loss}")

    def fitted(self, point: FitPoint) -> None:
        if point.held_out_loss is not None:
            self._bar.console.print(f"step {point.step}: held-out loss {point.held_out_loss:.4f}")

    def saving(self) -> AbstractContextManager[Callable[[], bool]]:
        # Nobody would go on from there: the next `grow run` is another job.
        return nullcontext(lambda: False)

    def ask_to_commit(self) -> None:
        return


def run(
    request: Annotated[Path, typer.Argument(help="A file with the body of `POST /grow`.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print the final job as JSON, and nothing else.")] = False,
) -> None:
    """Grow in this process, without a service. Exit codes: 0 done, 1 failed, 2 refused, 3 cancelled."""
    with starting():
        settings = WorkerSettings()
    configure_logs(settings.log_format)
    redact_logs(Redactor(settings.secrets()))
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        wanted = GrowthRequest.model_validate_json(request.read_bytes())
    except (OSError, ValidationError) as error:
        _refuse(_unreadable(request, error), as_json)
    storage = open_storage(settings)
    plan = concluded(lambda: _plan(wanted, storage))
    if isinstance(plan, Failed):
        _refuse(plan.failure, as_json)
    job = _grow(wanted, plan, storage, settings)
    _show(job, as_json)
    raise typer.Exit(EXIT_CODES[job.status])


def _plan(request: GrowthRequest, storage: Storage) -> Plan:
    plan, _ = with_state(plan_of(request, source_checkpoint(request, storage)), request, storage)
    return Plan.model_validate(plan.summary())


def _grow(request: GrowthRequest, plan: Plan, storage: Storage, settings: WorkerSettings) -> Job:
    created_at = datetime.now(UTC)
    # No other attempt can be at work, so that a look before each put does on every store.
    work = Work(job_id=new_id(microseconds(created_at)), attempt=1, request=request, plan=plan, conditional=False)
    outcome = _outcome(work, storage, settings)
    _tidy(work, storage, settings, keep_output=isinstance(outcome, Result))
    return Job(
        id=work.job_id,
        status=_status(outcome),
        progress=1.0 if isinstance(outcome, Result) else 0.0,
        attempt=work.attempt,
        owner=OWNER,
        request=request,
        plan=plan,
        result=outcome if isinstance(outcome, Result) else None,
        error=outcome.failure if isinstance(outcome, Failed) else None,
        created_at=created_at,
        started_at=created_at,
        finished_at=datetime.now(UTC),
    )


def _outcome(work: Work, storage: Storage, settings: WorkerSettings) -> Result | Failed | None:
    """None where it was cancelled."""
    try:
        with Progress(console=Console(stderr=True), transient=True) as bar:
            return concluded(lambda: run_job(work, storage, settings, Bar(bar)))
    except KeyboardInterrupt:
        return None


def _status(outcome: Result | Failed | None) -> Status:
    match outcome:
        case Result():
            return Status.SUCCEEDED
        case Failed():
            return Status.FAILED
        case None:
            return Status.CANCELLED


def _tidy(work: Work, storage: Storage, settings: WorkerSettings, *, keep_output: bool) -> None:
    try:
        if not keep_output:
            output = Output(storage, Uri.parse(work.request.output), work.job_id)
            output.remove()
        forget(storage, state_folder(settings.state_uri, work.job_id))
    except StorageError as error:
        log.warning("Not all that the job left could be removed", reason=str(error))


def _unreadable(path: Path, error: OSError | ValidationError) -> Failure:
    if isinstance(error, OSError):
        return Failure(code="invalid_request", detail=f"{path} can't be read: {error.strerror}.")
    first = error.errors(include_url=False)[0]
    pointer = "".join(f"/{part}" for part in first["loc"] if part not in SOURCE_TAGS)
    place = f"at {pointer}" if pointer else "as a whole"
    return Failure(
        code="invalid_request",
        detail=f"{path} is no request for growth: {first['msg']} ({place}).",
        hint="It is the body of `POST /grow`.",
        field=pointer or None,
    )


def _refuse(failure: Failure, as_json: bool) -> NoReturn:
    """There is no job where there is no plan; what is printed has the job's keys nevertheless."""
    if as_json:
        told = {"status": Status.FAILED.value, "error": failure.model_dump(mode="json", exclude_none=True)}
        typer.echo(json.dumps(told))
    else:
        _show_failure(failure)
    raise typer.Exit(REFUSED)


def _show(job: Job, as_json: bool) -> None:
    if as_json:
        typer.echo(job.model_dump_json(exclude_none=True))
    elif job.result is not None:
        typer.echo(f"Wrote {job.result.objects} files, {job.result.bytes_written:,} bytes, to {job.result.output}")
    elif job.error is not None:
        _show_failure(job.error)
    else:
        typer.echo("Cancelled; nothing is left of it.", err=True)


def _show_failure(failure: Failure) -> None:
    typer.echo(" ".join(filter(None, (f"Error: {failure.detail}", failure.hint))), err=True)
