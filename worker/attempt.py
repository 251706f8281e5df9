"""One attempt at a job as the worker sees it: claim, start the child, relay what it says, record how it ended.

| the attempt ends with                   | what is left of the output | the record                               |
|-----------------------------------------|----------------------------|------------------------------------------|
| a result                                | all                        | `succeeded`                              |
| a failure                               | nothing                    | `failed`                                 |
| a failure that may pass                 | nothing                    | `queued`; `failed` at the last attempt   |
| the child's end without a word          | nothing                    | `queued`; the next claim counts attempts |
| a wish to cancel                        | nothing                    | `cancelled`                              |
| a wish that the worker (or child) leave | for the next attempt       | `queued`, and the attempt not counted    |
| the loss of the lease                   | for the next attempt       | not ours any more                        |
"""

import os
import platform
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from enum import Enum
from typing import TypeVar

import structlog
from pydantic import JsonValue

from jobs.errors import JobNotFound, LeaseLost, NotClaimable, StoreUnavailable
from jobs.schema import EventKind, Failure, Job, Result, Status
from jobs.store import Claim, JobStore
from storage import Storage, StorageError, Uri
from telemetry.logs import working_on
from telemetry.traces import OFF, About, Traces
from worker.fit_state import forget, state_folder
from worker.lease import Lease
from worker.messages import Failed, Fitted, MayCommit, Measured, Pretrained, Progressed, Succeeded, Used, Work
from worker.output import Output
from worker.process import Child, Exited
from worker.settings import WorkerSettings
from worker.tracking import Tracking

POLL_SECONDS = 0.1
RECONNECT_SECONDS = 1.0

log = structlog.get_logger()
T = TypeVar("T")


class Stop(Enum):
    """Why a worker ends its child."""

    LOST = "lost"
    CANCELLED = "cancelled"
    LEAVING = "leaving"


Ending = Succeeded | Failed | Exited | Stop


def _name(ending: Ending) -> str:
    return ending.value if isinstance(ending, Stop) else type(ending).__name__.lower()


def work_on(
    job_id: str,
    settings: WorkerSettings,
    store: JobStore,
    storage: Storage,
    leaving: threading.Event,
    traces: Traces = OFF,
) -> None:
    """Claims the job and works on it until the attempt has ended; does nothing where it can't be claimed."""
    with working_on(job_id=job_id):
        try:
            claim = store.claim(job_id, f"{platform.node()}:{os.getpid()}")
        except NotClaimable as refused:
            log.info("Not claimed", reason=refused.reason)
            with suppress(JobNotFound):
                _remove_remains(store.get(job_id), storage, settings)
            return
        with working_on(attempt=claim.attempt, request_id=claim.job.request_id):
            Attempt(claim, settings, store, storage, leaving, traces).run()


def _remove_remains(job: Job, storage: Storage, settings: WorkerSettings) -> None:
    """What a job left that ended while no worker held it: cancelled between two attempts, or out of them."""
    if job.attempt and job.status in (Status.FAILED, Status.CANCELLED):
        with _only_logged():
            Output(storage, Uri.parse(job.request.output), job.id).remove()
            forget(storage, state_folder(settings.state_uri, job.id))


@contextmanager
def _only_logged() -> Iterator[None]:
    """A store that does not answer must not keep a job from its end."""
    try:
        yield
    except StorageError as error:
        log.warning("Not all that the job left could be removed", reason=str(error))


class Attempt:
    """The attempt that `claim` is for."""

    def __init__(
        self,
        claim: Claim,
        settings: WorkerSettings,
        store: JobStore,
        storage: Storage,
        leaving: threading.Event,
        traces: Traces,
    ) -> None:
        self._job = claim.job
        self._number = claim.attempt
        self._settings = settings
        self._store = store
        self._storage = storage
        self._output = Output(storage, Uri.parse(claim.job.request.output), claim.job.id)
        self._leaving = leaving
        self._traces = traces
        self._tracking = Tracking(claim.job, claim.attempt, self._warn)
        self._parent = claim.traceparent
        self._lease = Lease(store, claim.job.id, claim.attempt, settings.lease_renew_seconds)

    def run(self) -> None:
        """Returns when the record tells how the attempt ended, or belongs to another one."""
        log.info("The attempt begins", output=str(self._output.uri))
        about: About = {"job_id": self._job.id, "attempt": self._number, "request_id": self._job.request_id}
        with self._traces.span("attempt", about, parent=self._parent, kind="consumer") as span, self._lease:
            try:
                ending = self._work(span.traceparent)
                span.note({"ending": _name(ending)})
                self._record(ending)
            except LeaseLost:
                span.fail("lease lost")
                log.warning("The attempt lost its lease, and writes nothing more")
            except StoreUnavailable as error:
                log.error("How the attempt ended is not on record; another one will find out", reason=str(error))
            finally:
                self._tracking.close()

    def _work(self, traceparent: str | None) -> Ending:
        job = self._job
        work = Work(
            job_id=job.id,
            attempt=self._number,
            request=job.request,
            plan=job.plan,
            request_id=job.request_id,
            traceparent=traceparent,
        )
        child = Child(work)
        grace_seconds = 0.0
        try:
            ending = self._follow(child)
            if ending in (Stop.CANCELLED, Stop.LEAVING):
                grace_seconds = self._settings.stop_grace_seconds
            return ending
        finally:
            child.stop(grace_seconds)

    def _follow(self, child: Child) -> Ending:
        while (stop := self._stop()) is None:
            match message := child.next(POLL_SECONDS):
                case Succeeded() | Failed() | Exited():
                    return message
                case MayCommit():
                    self._let_commit(child)
                case Progressed() | Pretrained() | Measured() | Fitted() | Used():
                    self._relay(message)
        return stop

    def _stop(self) -> Stop | None:
        if self._lease.lost:
            return Stop.LOST
        if self._lease.cancel_requested:
            return Stop.CANCELLED
        return Stop.LEAVING if self._leaving.is_set() else None

    def _let_commit(self, child: Child) -> None:
        self._insist(self._lease.renew)
        if self._stop() is None:
            child.let_commit()

    def _relay(self, message: Progressed | Pretrained | Measured | Fitted | Used) -> None:
        # What comes next tells more than what is lost here.
        with suppress(StoreUnavailable):
            match message:
                case Progressed(stage=stage, progress=progress):
                    self._store.update(self._job.id, self._number, stage=stage, progress=progress)
                case Used():
                    self._store.use(self._job.id, self._number, message.model_dump(exclude={"kind"}, exclude_none=True))
                case Measured(candidate=candidate):
                    data = candidate.model_dump(mode="json", exclude_none=True)
                    self._store.append_event(self._job.id, self._number, EventKind.CANDIDATE, data)
                case Pretrained(point=point):
                    self._tracking.point("pretraining", point)
                    data = point.model_dump(mode="json", exclude_none=True)
                    self._store.append_event(self._job.id, self._number, EventKind.PRETRAINING, data)
                case Fitted(point=point):
                    self._tracking.point("fit", point)
                    data = point.model_dump(mode="json", exclude_none=True)
                    self._store.append_event(self._job.id, self._number, EventKind.FIT, data)

    def _record(self, ending: Ending) -> None:
        match ending:
            case Stop.LOST:
                raise LeaseLost(self._job.id, self._number)
            case Succeeded(result=result):
                self._keep_result(result)
            case Failed(transient=True) if self._number < self._settings.max_attempts:
                self._try_again_later(ending.failure)
            case Failed():
                self._end(ending.failure)
            case Stop.CANCELLED:
                self._end(None)
            case Stop.LEAVING | Exited(stopped=True):
                self._release("The worker is leaving.", counts=False)
            case Exited():
                self._remove_output()
                self._release(f"The process that did the work {ending}.", counts=True)

    def _keep_result(self, result: Result) -> None:
        # First, because nothing looks after what a job that has ended has left; its output is whole by now.
        self._forget_state()
        self._finish(result)

    def _end(self, failure: Failure | None) -> None:
        self._remove_output()
        self._forget_state()
        self._finish(failure)

    def _finish(self, outcome: Result | Failure | None) -> None:
        self._tracking.end(outcome)
        job = self._insist(lambda: self._store.finish(self._job.id, self._number, outcome))
        log.info("The job has ended", status=job.status, error=job.error and job.error.detail)

    def _try_again_later(self, failure: Failure) -> None:
        self._remove_output()
        wait_seconds = self._settings.retry_wait_seconds * 2 ** (self._number - 1)
        deadline = time.monotonic() + wait_seconds
        while self._stop() is None and time.monotonic() < deadline:
            self._leaving.wait(POLL_SECONDS)
        self._release(failure.detail, counts=True)

    def _release(self, reason: str, *, counts: bool) -> None:
        log.warning("The job is given back", reason=reason)
        with suppress(StoreUnavailable):
            self._store.append_event(self._job.id, self._number, EventKind.LOG, {"message": reason})
        job = self._insist(lambda: self._store.release(self._job.id, self._number, counts=counts))
        _remove_remains(job, self._storage, self._settings)

    def _warn(self, sentence: str) -> None:
        with suppress(StoreUnavailable, LeaseLost):
            data: dict[str, JsonValue] = {"level": "warning", "message": sentence}
            self._store.append_event(self._job.id, self._number, EventKind.LOG, data)

    def _remove_output(self) -> None:
        with _only_logged():
            self._output.remove()
            self._output.abort_uploads()

    def _forget_state(self) -> None:
        with _only_logged():
            forget(self._storage, state_folder(self._settings.state_uri, self._job.id))

    def _insist(self, call: Callable[[], T]) -> T:
        """Redis may be away for a while, and the work is done; raises StoreUnavailable only where the worker leaves."""
        while True:
            try:
                return call()
            except StoreUnavailable as error:
                if self._leaving.wait(RECONNECT_SECONDS):
                    raise
                log.warning("The job store does not answer; trying again", reason=str(error))
