"""The job record: who may change it, and when. Each method is atomic; every compare-and-set is a script in `lua/`.

`keys.py` has the table of keys, `record.py` the fields. A script may be sent twice when a connection breaks, so each
knows its own repetition. An output is reserved only while its job lives: from then on the checkpoint in storage tells
that it is taken.
"""

import json
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal, cast, overload

import redis
from pydantic import BaseModel, JsonValue

from jobs import record
from jobs.clock import Clock
from jobs.creation import Creation, Draft
from jobs.errors import IdempotencyConflict, JobError, JobNotFound, LeaseLost, NotClaimable
from jobs.keys import NAMESPACE, Keys
from jobs.listing import EVERY_JOB, Filter
from jobs.origin import NOWHERE, Origin
from jobs.quotas import NO_QUOTA, Quota
from jobs.redaction import Redactor
from jobs.schema import (
    EventKind,
    EventPage,
    Failure,
    FitPoint,
    GrowthRequest,
    Job,
    Plan,
    Priority,
    Result,
    Stage,
    Status,
)
from jobs.scripts import Scripts, connect, reaching_redis
from jobs.settings import SharedSettings
from jobs.trials import as_told
from jobs.tuning import AnyJob, JobPage, TrialJob, TrialResult, TuneJob, TunePlan, TuneRequest

PUBLISH_GRACE_SECONDS = 2
"""Who takes a job out of the outbox has this long to publish it before it is another's turn."""
MOST_SEEKS = 1_000
"""Of a page with several labels: it may be short and still have a next one."""
LATE_LEASES = 5
"""So many leases after an attempt was lost its process is taken to be dead."""
LEAST_SILENCE_SECONDS = 1.0
"""What a busy reconciler may take for a look, however short the leases are."""
SAFE = {"appendonly": "yes", "appendfsync": "always", "maxmemory-policy": "noeviction"}


@dataclass(frozen=True)
class Claim:
    """The right to work on a job: `attempt` is the token that every write must carry."""

    job: Job | TrialJob
    attempt: int
    lease_until: datetime
    """By Redis' clock."""
    last: bool
    """Whether no attempt that counts is left after this one."""
    granted: int | None
    """The attempt that was granted the commit before, if any (`grant_commit`)."""
    traceparent: str | None
    """Of the request that submitted the job, where that was traced."""


class JobStore:
    """Job records for any number of threads, in the service and in workers."""

    def __init__(self, settings: SharedSettings, namespace: str = NAMESPACE) -> None:
        self.keys = Keys(namespace)
        self._settings = settings
        self._redact = Redactor(settings.secrets())
        self._client = connect(settings.redis_url)
        self._scripts = Scripts(self._client)
        self._clock = Clock(self.now)

    def close(self) -> None:
        self._client.close()

    # For whoever submits

    @overload
    def create(
        self,
        request: GrowthRequest,
        plan: Plan,
        owner: str,
        idempotency_key: str | None = None,
        origin: Origin = NOWHERE,
        *,
        retry_of: str | None = None,
        quota: Quota = NO_QUOTA,
    ) -> tuple[Job, bool]: ...

    @overload
    def create(
        self,
        request: TuneRequest,
        plan: TunePlan,
        owner: str,
        idempotency_key: str | None = None,
        origin: Origin = NOWHERE,
        *,
        retry_of: str | None = None,
        quota: Quota = NO_QUOTA,
    ) -> tuple[TuneJob, bool]: ...

    def create(
        self,
        request: GrowthRequest | TuneRequest,
        plan: Plan | TunePlan,
        owner: str,
        idempotency_key: str | None = None,
        origin: Origin = NOWHERE,
        *,
        retry_of: str | None = None,
        quota: Quota = NO_QUOTA,
    ) -> tuple[AnyJob, bool]:
        """A new queued job with its output reserved; or, and True, the job that the key made before.

        `retry_of` names a job that ended without a result, and is its own key, for good. Raises IdempotencyConflict,
        QuotaExceeded, OutputReserved, NotRetryable, JobNotFound.
        """
        creation = Creation(request, plan, owner, idempotency_key, origin, retry_of, quota)
        [made] = self.create_all([creation])
        if isinstance(made, Exception):
            raise made
        return made

    def create_all(self, creations: Sequence[Creation]) -> list[tuple[AnyJob, bool] | Exception]:
        """For each what `create` would return or raise, all sent at once: together they take one sync of Redis' disk.

        Raises StoreUnavailable.
        """
        drafts = [Draft(creation, self.keys, self._clock.now()) for creation in creations]
        remember_seconds = self._settings.idempotency_seconds
        calls = [(draft.keys(), draft.arguments(remember_seconds, PUBLISH_GRACE_SECONDS)) for draft in drafts]
        return list(map(self._created, drafts, self._scripts.on_jobs("create", calls)))

    def _created(self, draft: Draft, reply: list[Any] | Exception) -> tuple[AnyJob, bool] | Exception:
        if isinstance(reply, Exception):
            return reply
        try:
            made = draft.made(reply)
            if isinstance(made, str):
                return self.get(made), made != draft.job_id
        except JobError as error:
            return error
        return made, False

    def made_by(self, request: GrowthRequest | TuneRequest, owner: str, idempotency_key: str) -> AnyJob | None:
        """The job that the key made before, which a replay is answered with though its output exists by now.

        Only looks; `create` decides. Raises IdempotencyConflict.
        """
        with reaching_redis():
            known: Any = self._client.get(self.keys.idempotency(owner, idempotency_key))
        if known is None:
            return None
        fingerprint, _, job_id = known.partition(" ")
        if fingerprint != record.fingerprint(request):
            raise IdempotencyConflict(idempotency_key)
        return self.get(job_id)

    def request_cancel(self, job_id: str) -> AnyJob:
        """Ends a queued job, asks the worker of a running one to stop, leaves an ended one. Raises JobNotFound.

        A search is asked together with its trials, and ends with the last of them.
        """
        outcome, *rest = self._on_job("cancel", job_id)
        if outcome == "not_found":
            raise JobNotFound(job_id)
        return _job(rest[0])

    # For whoever reads

    def get(self, job_id: str) -> AnyJob:
        """The job, a search with its trials, a trial with its curve. Raises JobNotFound."""
        jobs = self._read([job_id])
        if not jobs:
            raise JobNotFound(job_id)
        match jobs[0]:
            case TuneJob() as search:
                return search.model_copy(update={"trials": as_told(search, self.trials(search.id))})
            case TrialJob() as trial:
                return self._with_curves([trial])[0]
        return jobs[0]

    def trials(self, search_id: str) -> list[TrialJob]:
        """Those of a search, in the order in which they were begun."""
        with reaching_redis():
            ids: Any = self._client.zrange(self.keys.trials(search_id), 0, -1)
        return self._with_curves([job for job in self._read(ids) if isinstance(job, TrialJob)])

    def list_jobs(self, where: Filter = EVERY_JOB, *, cursor: str | None = None, limit: int = 50) -> JobPage:
        """Newest first. Raises InvalidCursor."""
        bounds = where.bounds(cursor)
        ids, next_cursor = self._scripts.on_many("page", where.indexes(self.keys), [*bounds, limit, MOST_SEEKS])
        return JobPage(jobs=self._read(ids), next_cursor=next_cursor or None)

    def events(self, job_id: str, after: str | None = None, limit: int = 1000) -> EventPage:
        """What happened, oldest first, from the event after `after`. Raises JobNotFound, InvalidCursor."""
        page, _ = self.events_and_end(job_id, after, limit)
        return page

    def events_and_end(self, job_id: str, after: str | None = None, limit: int = 1000) -> tuple[EventPage, bool]:
        """Like `events`, and whether the job has ended: then nothing comes after what is there."""
        first = "-" if after is None else "(" + record.checked_cursor(after, record.EVENT_ID)
        with reaching_redis(), self._client.pipeline(transaction=True) as pipeline:
            pipeline.hget(self.keys.job(job_id), "status")
            pipeline.xrange(self.keys.events(job_id), min=first, count=limit + 1)
            status, entries = pipeline.execute()
        if status is None:
            raise JobNotFound(job_id)
        events = [record.to_event(event_id, fields) for event_id, fields in entries[:limit]]
        page = EventPage(events=events, next_cursor=events[-1].id if len(entries) > limit else None)
        return page, Status(status).terminal

    # For the worker that holds the job

    def claim(self, job_id: str, worker: str) -> Claim:
        """Starts the next attempt and its lease. Raises NotClaimable.

        A job that was asked to stop ends `cancelled` here, and one with no attempts left ends `failed` as `poison`.
        """
        most = self._settings.max_attempts
        poison = Failure(
            code="poison",
            detail=f"The worker was lost in each of {most} attempts, so the job is not tried again.",
            hint="Look at the events and at the worker's log for what ended it; memory is the usual reason.",
        )
        outcome, *rest = self._on_job(
            "claim", job_id, uuid.uuid4().hex, worker, self._settings.lease_seconds, most, _json(poison)
        )
        if outcome != "ok":
            raise NotClaimable(job_id, outcome)
        record_reply, lease_until, last, granted = rest
        job, traceparent = _job(record_reply), record.named(record_reply[1]).get("traceparent")
        assert not isinstance(job, TuneJob), "a search is stepped, not claimed"
        return Claim(
            job, job.attempt, record.moment(lease_until), bool(last), int(granted) if granted else None, traceparent
        )

    def renew(self, job_id: str, attempt: int) -> bool:
        """Another whole lease from now on; whether the job was asked to stop. Raises LeaseLost."""
        reply = self._fenced("renew", job_id, attempt, self._settings.lease_seconds)
        return reply is not None

    def grant_commit(self, job_id: str, attempt: int) -> None:
        """From now on what this attempt commits is the job's, whoever puts it. Raises LeaseLost.

        For stores without conditional puts: whoever claims the job later is told, and puts the same manifest.
        """
        self._fenced("grant", job_id, attempt)

    def report(
        self, job_id: str, attempt: int, point: FitPoint, *, pruned: bool = False, entries: Sequence[str] = ()
    ) -> None:
        """A held-out loss of a trial, whether it is to end early because of it, and what the journal says of it.

        Measured again by a later attempt it takes the place of what was there. Raises LeaseLost.
        """
        self._fenced("report", job_id, attempt, point.step, _json(point), int(pruned), *entries)

    def update(self, job_id: str, attempt: int, *, stage: Stage | None = None, progress: float | None = None) -> None:
        """Where the work stands; a new stage begins at progress 0. Raises LeaseLost."""
        self._fenced("update", job_id, attempt, stage or "", "" if progress is None else float(progress))

    def use(self, job_id: str, attempt: int, used: Mapping[str, int]) -> None:
        """What the attempt has used so far; `counters.py` has the names. Raises LeaseLost."""
        self._fenced("use", job_id, attempt, *(text for pair in used.items() for text in pair))

    def append_event(
        self,
        job_id: str,
        attempt: int,
        kind: Literal[EventKind.PRETRAINING, EventKind.CANDIDATE, EventKind.FIT, EventKind.LOG],
        data: dict[str, JsonValue],
    ) -> None:
        """An event that changes no record. Raises LeaseLost; after a broken connection it may stand there twice."""
        self._fenced("append", job_id, attempt, kind, self._redact(json.dumps(data)))

    def finish(self, job_id: str, attempt: int, outcome: Result | TrialResult | Failure | None) -> AnyJob:
        """Ends the job, once and forever: `succeeded`, `failed`, or with None `cancelled`. Raises LeaseLost."""
        match outcome:
            case Result() | TrialResult():
                ending = (Status.SUCCEEDED, _json(outcome), "")
            case Failure():
                ending = (Status.FAILED, "", self._redact(_json(outcome)))
            case None:
                ending = (Status.CANCELLED, "", "")
        return _job(self._fenced("finish", job_id, attempt, *ending))

    def release(self, job_id: str, attempt: int, *, counts: bool) -> AnyJob:
        """Back to the queue, or `cancelled` where that was asked for. Raises LeaseLost.

        `counts`: whether the attempt is one of `max_attempts`; a worker that is told to leave says no.
        """
        return _job(self._fenced("release", job_id, attempt, int(counts)))

    def cleared(self, job_id: str) -> None:
        """A worker has removed what the ended job left; once more later where an attempt's process may yet wake."""
        self._on_job("cleared", job_id, LATE_LEASES * self._settings.lease_seconds)

    # For the reconciler

    def expired_leases(self, limit: int = 100) -> list[str]:
        """Ids of running jobs whose lease has ended, by a Redis that has not stood still meanwhile.

        To be called several times a lease: where half of one went by without, every lease is a whole one again.
        """
        lease_seconds = self._settings.lease_seconds
        silence_seconds = max(lease_seconds / 2, LEAST_SILENCE_SECONDS)
        keys = [self.keys.leases, self.keys.looked]
        return self._scripts.on_many("expired", keys, [lease_seconds, silence_seconds, limit])

    def reclaim(self, job_id: str) -> bool:
        """Takes the job from a worker that went silent, as `release` would; False where its lease has not ended."""
        outcome, *_ = self._on_job("reclaim", job_id, self._settings.lease_seconds)
        return bool(outcome == "ok")

    def take_due(self, limit: int = 100) -> list[str]:
        """Queued jobs to publish now; each stays in the outbox until `mark_published`."""
        return self._scripts.on_many("take_due", [self.keys.outbox], [limit, PUBLISH_GRACE_SECONDS])

    def turn(self, job_id: str) -> tuple[Priority, bool]:
        """The job's priority, and whether it was begun and given back: then it goes before others of that priority.

        Of a job whose record is gone, which its message will find out, the normal one.
        """
        with reaching_redis():
            told: Any = self._client.hmget(self.keys.job(job_id), ["priority", "status", "attempt"])
        priority, status, attempt = told
        return cast(Priority, priority or "normal"), status == Status.QUEUED and attempt != "0"

    def mark_published(self, job_id: str) -> None:
        """A message for the job is in the broker."""
        self._on_job("published", job_id)

    def published_jobs(self) -> int:
        """How many jobs should have a message in the broker."""
        with reaching_redis():
            return int(self._client.zcard(self.keys.published))

    def republish(self, limit: int, silent_seconds: float) -> list[str]:
        """Puts the longest published of the jobs that nobody took up since then back into the outbox."""
        return self._scripts.on_many("republish", [self.keys.published, self.keys.outbox], [limit, silent_seconds])

    def forget_ended(self, limit: int = 100) -> int:
        """Deletes jobs that ended longer ago than settings keep them; how many."""
        kept_seconds = self._settings.record_retention_seconds
        if kept_seconds is None:
            return 0
        before = self.now() - kept_seconds * 1_000_000
        with reaching_redis():
            ids: Any = self._client.zrangebyscore(self.keys.ended, "-inf", before, start=0, num=limit)
        return sum(map(self._forget, ids))

    def _forget(self, job_id: str) -> bool:
        outcome, *_ = self._on_job("forget", job_id)
        return bool(outcome == "ok")

    # For operators

    def now(self) -> int:
        """Redis' clock, in microseconds since 1970."""
        with reaching_redis():
            seconds, microseconds = self._client.time()
        return seconds * 1_000_000 + microseconds

    def restore(self, job: Job) -> bool:
        """Puts a job on record again that has succeeded, or was begun: the latter waits for its next attempt.

        False where there is a record of it, or its output has become another job's by now. Its events, and the
        idempotency key and the quota that it was made with, are not restored.
        """
        succeeded = job.status is Status.SUCCEEDED
        assert succeeded or job.attempt > 0
        assert succeeded == (job.finished_at is not None)
        indexes = self.keys.fixed_indexes(job.owner, job.request)
        outcome, *_ = self._on_job(
            "restore",
            job.id,
            "" if job.finished_at is None else record.microseconds(job.finished_at),
            record.folder(job.request.output),
            *record.restored_fields(job, indexes),
            *([] if succeeded else ["load", self.keys.load(job.owner)]),
        )
        return bool(outcome == "ok")

    def ready(self) -> list[str]:
        """What about this Redis may lose records, one sentence each. Raises StoreUnavailable."""
        with reaching_redis():
            self._client.ping()
            try:
                found: Any = self._client.config_get(*SAFE)
            except redis.ResponseError:
                safe = ", ".join(f"{name} {value}" for name, value in SAFE.items())
                return [f"Redis does not show its configuration; records are safe with {safe}."]
        return [
            f"Redis has {name} {found[name]}; records are safe with {name} {safe}."
            for name, safe in SAFE.items()
            if name in found and found[name] != safe
        ]

    def _on_job(self, script: str, job_id: str, *arguments: str | float, more_keys: Sequence[str] = ()) -> list[Any]:
        return self._scripts.on_job(script, [*self.keys.of_job(job_id), *more_keys], [job_id, *arguments])

    def _fenced(self, script: str, job_id: str, attempt: int, *arguments: str | float) -> Any:
        outcome, *rest = self._on_job(script, job_id, attempt, *arguments)
        if outcome == "lost":
            raise LeaseLost(job_id, attempt)
        return rest[0] if rest else None

    def _with_curves(self, trials: Sequence[TrialJob]) -> list[TrialJob]:
        with reaching_redis(), self._client.pipeline(transaction=True) as pipeline:
            for trial in trials:
                pipeline.hgetall(self.keys.curve(trial.id))
            curves = pipeline.execute()
        pairs = zip(trials, curves, strict=True)
        return [trial.model_copy(update={"curve": record.to_curve(points)}) for trial, points in pairs]

    def _read(self, job_ids: Sequence[str]) -> list[AnyJob]:
        """The jobs that (still) exist, all of one moment."""
        with reaching_redis(), self._client.pipeline(transaction=True) as pipeline:
            for job_id in job_ids:
                pipeline.hgetall(self.keys.job(job_id))
                pipeline.zrank(self.keys.waiting, job_id)
            pipeline.zcard(self.keys.leases)
            pipeline.get(self.keys.pace)
            *replies, running, pace = pipeline.execute()
        return [
            record.to_job(job_id, fields, record.Queue.of_replies(position, running, pace))
            for job_id, fields, position in zip(job_ids, replies[::2], replies[1::2], strict=True)
            if fields
        ]


def _job(reply: list[Any]) -> AnyJob:
    """From what `record()` in `lua/job.lua` returns."""
    job_id, fields, *queue = reply
    return record.to_job(job_id, record.named(fields), record.Queue.of_replies(*queue))


def _json(model: BaseModel) -> str:
    return model.model_dump_json(exclude_none=True)
