"""One attempt at a job as the worker sees it: claim, start the child, relay what it says, record how it ended.

| the attempt ends with                   | what is left of the output | the record                               |
|-----------------------------------------|----------------------------|------------------------------------------|
| a result                                | all                        | `succeeded`                              |
| a failure                               | nothing                    | `failed`                                 |
| a failure that may pass                 | for the next attempt       | `queued`; `failed` at the last attempt   |
| the child's end without a word          | for the next attempt       | `queued`; the next claim counts attempts |
| a trial's loss, worse than others'      | nothing                    | `succeeded`, as pruned                   |
| a wish to cancel                        | nothing                    | `cancelled`                              |
| a wish that the worker (or child) leave | for the next attempt       | `queued`, and the attempt not counted    |
| the loss of the lease                   | for the next attempt       | not ours any more                        |

Whatever a job that has ended may have left goes in `worker/remains.py`.
"""

import os
import platform
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from enum import Enum
from typing import TypeVar

import structlog
from pydantic import JsonValue

from jobs.errors import JobNotFound, LeaseLost, NotClaimable, StoreUnavailable
from jobs.schema import EventKind, Failure, FitPoint, Job, Result, Status
from jobs.searches import Searches
from jobs.store import Claim, JobStore
from jobs.tuning import TrialJob, TrialResult
from storage import Storage, StorageError, Uri
from telemetry.logs import working_on
from telemetry.traces import OFF, About, Traces
from worker.accepted import keep
from worker.conditions import Conditions
from worker.lease import Lease
from worker.messages import (
    AnyWork,
    Failed,
    Fitted,
    MayCommit,
    Measured,
    Pretrained,
    Progressed,
    Succeeded,
    TrialWork,
    Used,
    Work,
)
from worker.output import Output
from worker.process import Child, Exited
from worker.pruning import Pruning
from worker.remains import remove_remains
from worker.settings import WorkerSettings
from worker.spare import Spare
from worker.tracking import Tracking

POLL_SECONDS = 0.1
RECONNECT_SECONDS = 1.0

log = structlog.get_logger()
T = TypeVar("T")


class Stop(Enum):
    """Why a worker ends its child."""

    LOST = "lost"
    CANCELLED = "cancelled"
    PRUNED = "pruned"
    LEAVING = "leaving"


Ending = Succeeded | Failed | Exited | Stop


@dataclass(frozen=True)
class Site:
    """Where a worker does its jobs, and what it keeps from one to the next."""

    settings: WorkerSettings
    store: JobStore
    storage: Storage
    leaving: threading.Event
    """Set once, when the worker is told to leave."""
    spare: Spare
    conditions: Conditions
    traces: Traces = OFF


def attempt(job_id: str, site: Site, searches: Searches) -> bool:
    """Claims the job and works on it until the attempt has ended; clears up behind it where it has ended before.

    Whether it gave the job back, which then needs another message.
    """
    with working_on(job_id=job_id):
        try:
            claim = site.store.claim(job_id, f"{platform.node()}:{os.getpid()}")
        except NotClaimable as refused:
            log.info("Not claimed", reason=refused.reason)
            with suppress(JobNotFound):
                remove_remains(site.store.get(job_id), site.store, site.storage, site.settings)
            return False
        pruning = Pruning(claim.job, site.store, searches) if isinstance(claim.job, TrialJob) else None
        with working_on(attempt=claim.attempt, request_id=claim.job.request_id):
            return Attempt(claim, site, pruning).run()


def _name(ending: Ending) -> str:
    return ending.value if isinstance(ending, Stop) else type(ending).__name__.lower()


class Attempt:
    """The attempt that `claim` is for."""

    def __init__(self, claim: Claim, site: Site, pruning: Pruning | None) -> None:
        self._claim = claim
        self._job = claim.job
        self._number = claim.attempt
        self._site = site
        self._settings, self._store, self._leaving = site.settings, site.store, site.leaving
        self._pruning = pruning
        # A trial leaves nothing but its losses.
        growth = claim.job if isinstance(claim.job, Job) else None
        self._output = Output(site.storage, Uri.parse(growth.request.output), growth.id) if growth else None
        self._lease = Lease(self._store, claim.job.id, claim.attempt, self._settings.lease_renew_seconds)
        self._conditional = True
        self._tracking = Tracking(growth, claim.attempt, self._warn)
        self._given_back = False

    def run(self) -> bool:
        """Returns when the record tells how the attempt ended, or belongs to another one: whether it waits again."""
        log.info("The attempt begins", output=str(self._output.uri) if self._output else None)
        about: About = {"job_id": self._job.id, "attempt": self._number, "request_id": self._job.request_id}
        parent = self._claim.traceparent
        with self._site.traces.span("attempt", about, parent=parent, kind="consumer") as span, self._lease:
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
        return self._given_back

    def _work(self, traceparent: str | None) -> Ending:
        if isinstance(self._job, TrialJob) and self._job.pruned:
            return Stop.PRUNED
        child = self._site.spare.take()
        grace_seconds = 0.0
        try:
            child.begin(self._told(traceparent))
            if isinstance(self._job, Job):
                keep(self._job, self._site.storage, self._settings.state_uri)
            ending = self._follow(child)
            if ending is Stop.CANCELLED:
                grace_seconds = self._settings.stop_grace_seconds
            elif ending is Stop.LEAVING:
                grace_seconds = self._settings.leave_grace_seconds
            return ending
        finally:
            child.stop(grace_seconds)

    def _told(self, traceparent: str | None) -> AnyWork:
        output, job = self._output, self._job
        if isinstance(job, TrialJob):
            return TrialWork(
                job_id=job.id,
                attempt=self._number,
                request=job.request,
                request_id=job.request_id,
                traceparent=traceparent,
            )
        assert output is not None
        self._conditional = self._site.conditions.held(output.store, output.uri, output.probe_stem(self._number))
        return Work(
            job_id=job.id,
            attempt=self._number,
            request=job.request,
            plan=job.plan,
            owner=job.owner,
            created_at=job.created_at,
            started_at=job.started_at,
            conditional=self._conditional,
            granted=self._claim.granted,
            request_id=job.request_id,
            traceparent=traceparent,
        )

    def _follow(self, child: Child) -> Ending:
        while (stop := self._stop()) is None:
            match message := child.next(POLL_SECONDS):
                case Succeeded() | Failed() | Exited():
                    return message
                case MayCommit():
                    self._let_commit(child)
                case Pretrained(point=point) if self._pruning is not None and point.held_out_loss is not None:
                    if self._report(self._pruning, point):
                        return Stop.PRUNED
                case Progressed() | Pretrained() | Measured() | Fitted() | Used():
                    self._relay(message)
        return stop

    def _report(self, pruning: Pruning, point: FitPoint) -> bool:
        """Puts a trial's loss on record; whether it is to end early because of it."""
        pruned, entries = self._insist(lambda: pruning.judged(point))
        self._insist(lambda: self._store.report(self._job.id, self._number, point, pruned=pruned, entries=entries))
        return pruned

    def _stop(self) -> Stop | None:
        if self._lease.lost:
            return Stop.LOST
        if self._lease.cancel_requested:
            return Stop.CANCELLED
        return Stop.LEAVING if self._leaving.is_set() else None

    def _let_commit(self, child: Child) -> None:
        until = time.monotonic() + self._settings.lease_seconds
        self._insist(self._lease.renew)
        if not self._conditional:
            self._insist(lambda: self._store.grant_commit(self._job.id, self._number))
        if self._stop() is None:
            child.let_commit(until)

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
                self._finish(result)
            case Failed(transient=True) if not self._claim.last:
                self._try_again_later(ending.failure)
            case Failed():
                self._end(ending.failure)
            case Stop.PRUNED:
                assert self._pruning is not None
                self._finish(self._insist(self._pruning.result))
            case Stop.CANCELLED:
                self._end(None)
            case Stop.LEAVING | Exited(stopped=True):
                self._release("The worker is leaving.", counts=False)
            case Exited():
                self._release(f"The process that did the work {ending}.", counts=True)

    def _end(self, failure: Failure | None) -> None:
        self._remove_output()
        self._finish(failure)

    def _finish(self, outcome: Result | TrialResult | Failure | None) -> None:
        if not isinstance(outcome, TrialResult):
            self._tracking.end(outcome)
        job = self._insist(lambda: self._store.finish(self._job.id, self._number, outcome))
        log.info("The job has ended", status=job.status, error=job.error and job.error.detail)
        remove_remains(job, self._store, self._site.storage, self._settings)

    def _try_again_later(self, failure: Failure) -> None:
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
        self._given_back = job.status is Status.QUEUED
        remove_remains(job, self._store, self._site.storage, self._settings)

    def _warn(self, sentence: str) -> None:
        with suppress(StoreUnavailable, LeaseLost):
            data: dict[str, JsonValue] = {"level": "warning", "message": sentence}
            self._store.append_event(self._job.id, self._number, EventKind.LOG, data)

    def _remove_output(self) -> None:
        if self._output is None:
            return
        # A store that does not answer must not keep a job from its end.
        try:
            self._output.remove_attempts(self._number)
        except StorageError as error:
            log.warning("Not all that the attempt left could be removed", reason=str(error))

    def _insist(self, call: Callable[[], T]) -> T:
        """Redis may be away for a while, and the work is done; raises StoreUnavailable only where the worker leaves."""
        while True:
            try:
                return call()
            except StoreUnavailable as error:
                if self._leaving.wait(RECONNECT_SECONDS):
                    raise
                log.warning("The job store does not answer; trying again", reason=str(error))
