"""A job's parameters, curves and artefact URIs in MLflow, where `MLFLOW_TRACKING_URI` names a server.

Nothing here is ever in a job's way: all calls are made by a thread of their own, and once one fails the job goes on
without, with one warning among its events. A job is one run, which every attempt goes on with.
"""

import os
import queue
import threading
import time
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from math import isfinite
from typing import TYPE_CHECKING, Any, Literal

import structlog

from jobs.schema import Failure, FitPoint, Job, Result, Status

if TYPE_CHECKING:
    from mlflow.entities import Metric
    from mlflow.tracking import MlflowClient

ADDRESS = "MLFLOW_TRACKING_URI"
EXPERIMENT = "model-growth"
JOB_TAG = "growth.job_id"
BATCH = 500
END_SECONDS = 10.0
"""How long a job that has ended waits for what is still to be sent."""
# MLflow's own would try a server that is away for minutes, tell its makers that it is used, and print addresses.
_DEFAULTS = {
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "10",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
}
_STATUSES = {Status.SUCCEEDED: "FINISHED", Status.FAILED: "FAILED", Status.CANCELLED: "KILLED"}
Curve = Literal["fit", "pretraining"]
Step = Callable[["_Run"], None]

log = structlog.get_logger(__name__)


class Tracking:
    """What an attempt tells of itself; every method returns at once but `flush`."""

    def __init__(self, job: Job | None, attempt: int, warn: Callable[[str], None]) -> None:
        self._warn = warn
        self._steps: queue.SimpleQueue[Step | None] | None = None
        self._sent: dict[Curve, set[int]] = {"fit": set(), "pretraining": set()}
        # A trial of a search is no run of its own.
        if job is not None and os.environ.get(ADDRESS):
            self._steps = queue.SimpleQueue()
            self._thread = threading.Thread(
                target=self._run, args=(job, attempt, self._steps), name="mlflow", daemon=True
            )
            self._thread.start()

    def point(self, curve: Curve, point: FitPoint) -> None:
        """Losses at one step."""
        self._sent[curve].add(point.step)
        self._put(lambda run: run.add(f"{curve}.", point))

    def end(self, outcome: Result | Failure | None) -> None:
        """How the job ends, as `JobStore.finish` takes it; returns once that is sent, or time is up."""
        match outcome:
            case Result():
                self._rest_of_curves(outcome)
                status = Status.SUCCEEDED
            case Failure():
                status = Status.FAILED
            case None:
                status = Status.CANCELLED
        self._put(lambda run: run.end(_STATUSES[status], outcome))
        self.close()

    def close(self) -> None:
        """Sends what there is, and no more; returns within `END_SECONDS`."""
        if self._steps is None:
            return
        self._steps.put(None)
        self._steps = None
        self._thread.join(END_SECONDS)
        if self._thread.is_alive():
            self._warn(f"MLflow has not taken all of this job within {END_SECONDS:.0f} s.")

    def _put(self, step: Step) -> None:
        if self._steps is not None:
            self._steps.put(step)

    def _rest_of_curves(self, result: Result) -> None:
        reports: dict[Curve, Any] = {"fit": result.fit, "pretraining": result.pretraining}
        for curve, report in reports.items():
            for point in () if report is None else report.curve:
                if point.step not in self._sent[curve]:
                    self.point(curve, point)

    def _run(self, job: Job, attempt: int, steps: "queue.SimpleQueue[Step | None]") -> None:
        try:
            run = _Run(job, attempt)
            while (step := steps.get()) is not None:
                step(run)
                if steps.empty() or run.full:
                    run.send()
            run.send()
        except Exception as error:  # noqa: BLE001
            # Whatever it is, it is no reason for a job to fail. What it says may hold the address, and that a password.
            reason = type(error).__name__
            log.warning("MLflow is given up for this job", reason=reason)
            self._warn(f"MLflow does not take this job ({reason}); the job goes on without it.")


class _Run:
    """The job's run at the server."""

    def __init__(self, job: Job, attempt: int) -> None:
        for name, value in _DEFAULTS.items():
            os.environ.setdefault(name, value)
        # Late, because it takes a second to import and few use it.
        from mlflow.tracking import MlflowClient

        self._client = MlflowClient()
        self._id = _found(self._client, job) or _created(self._client, job)
        self._metrics: list[Metric] = []
        from mlflow.entities import Param, RunTag

        params = [Param(name, value) for name, value in _params(job)]
        tags = [RunTag(name, value) for name, value in _tags(job, attempt)]
        self._client.log_batch(self._id, params=params, tags=tags)

    @property
    def full(self) -> bool:
        return len(self._metrics) >= BATCH

    def add(self, prefix: str, point: FitPoint) -> None:
        for name, value in (("loss", point.loss), ("held_out_loss", point.held_out_loss)):
            if value is not None:
                self._measure(f"{prefix}{name}", value, point.step)

    def end(self, status: str, outcome: Result | Failure | None) -> None:
        for name, value in _measures(outcome):
            self._measure(name, value)
        self.send()
        for name, text in _artefacts(outcome):
            self._client.set_tag(self._id, name, text)
        self._client.set_terminated(self._id, status)

    def send(self) -> None:
        if self._metrics:
            self._client.log_batch(self._id, metrics=self._metrics)
            self._metrics = []

    def _measure(self, name: str, value: float, step: int = 0) -> None:
        from mlflow.entities import Metric

        if isfinite(value):
            self._metrics.append(Metric(name, value, int(time.time() * 1000), step))


def check_installed() -> None:
    """Raises RuntimeError where a server is named and MLflow is not installed."""
    if os.environ.get(ADDRESS) and find_spec("mlflow") is None:
        raise RuntimeError(f"{ADDRESS} is set, but MLflow is not installed: pip install 'model-growth[mlflow]'.")


def _experiment(client: "MlflowClient") -> str:
    name = os.environ.get("MLFLOW_EXPERIMENT_NAME") or EXPERIMENT
    found = client.get_experiment_by_name(name)
    if found is None:
        return str(client.create_experiment(name))
    return str(found.experiment_id)


def _found(client: "MlflowClient", job: Job) -> str | None:
    """The run of an attempt before, set to run again."""
    runs = client.search_runs([_experiment(client)], f"tags.`{JOB_TAG}` = '{job.id}'", max_results=1)
    for run in runs:
        client.update_run(run.info.run_id, "RUNNING")
        return str(run.info.run_id)
    return None


def _created(client: "MlflowClient", job: Job) -> str:
    created = client.create_run(_experiment(client), run_name=job.id, tags={JOB_TAG: job.id})
    return str(created.info.run_id)


def _params(job: Job) -> Iterator[tuple[str, str]]:
    request, plan = job.request, job.plan
    source = request.source if isinstance(request.source, str) else "untrained"
    yield from {"source": source, "output": request.output, "seed": str(request.seed), "dtype": plan.dtype}.items()
    if request.data is not None:
        yield "data", request.data.uri
    for name, value in plan.method.items():
        yield f"method.{name}", str(value)
    for model, size in (("source", plan.source), ("target", plan.target)):
        yield f"{model}.parameters", str(size.parameters)
        for name, number in size.sizes.items():
            yield f"{model}.{name}", str(number)


def _tags(job: Job, attempt: int) -> Iterator[tuple[str, str]]:
    yield "growth.attempt", str(attempt)
    yield "growth.owner", job.owner
    if job.request_id is not None:
        yield "growth.request_id", job.request_id
    for name, value in job.request.labels.items():
        yield f"label.{name}", value


def _measures(outcome: Result | Failure | None) -> Iterator[tuple[str, float]]:
    if not isinstance(outcome, Result):
        return
    yield "bytes_written", outcome.bytes_written
    for stage, seconds in outcome.stage_seconds.items():
        yield f"stage_seconds.{stage}", seconds
    told = outcome.verification.model_dump(exclude_none=True) if outcome.verification is not None else {}
    for name, value in told.items():
        yield f"verification.{name}", value


def _artefacts(outcome: Result | Failure | None) -> Iterator[tuple[str, str]]:
    match outcome:
        case Result():
            yield "growth.output", outcome.output
            yield "growth.manifest", outcome.manifest
        case Failure():
            yield "growth.failure", f"{outcome.code}: {outcome.detail}"
