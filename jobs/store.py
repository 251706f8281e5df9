"""The job record: who may change it, and when. Each method is atomic; every compare-and-set is a script in `lua/`.

`keys.py` has the table of keys, `record.py` the fields. A script may be sent twice when a connection breaks, so each
knows its own repetition. An output is reserved only while its job lives: from then on the checkpoint in storage tells
that it is taken.
"""

import json
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

import redis
from pydantic import BaseModel, JsonValue

from jobs import record
from jobs.clock import Clock
from jobs.errors import IdempotencyConflict, JobNotFound, LeaseLost, NotClaimable, OutputReserved
from jobs.keys import NAMESPACE, Keys
from jobs.listing import EVERY_JOB, Filter
from jobs.schema import EventKind, EventPage, Failure, GrowthRequest, Job, JobPage, Plan, Result, Stage, Status
from jobs.scripts import Scripts, connect, reaching_redis
from jobs.settings import SharedSettings

PUBLISH_GRACE_SECONDS = 2
"""Who takes a job out of the outbox has this long to publish it before it is another's turn."""
SCANNED = 10_000
"""Records that one page looks at, at most: a page may be short and still have a next one."""
SAFE = {"appendonly": "yes", "appendfsync": "always", "maxmemory-policy": "noeviction"}


@dataclass(frozen=True)
class Claim:
    """The right to work on a job: `attempt` is the token that every write must carry."""

    job: Job
    attempt: int
    lease_until: datetime
    """By Redis' clock."""


class JobStore:
    """Job records for any number of threads, in the service and in workers."""

    def __init__(self, settings: SharedSettings, namespace: str = NAMESPACE) -> None:
        self.keys = Keys(namespace)
        self._settings = settings
        self._client = connect(settings.redis_url)
        self._scripts = Scripts(self._client)
        self._clock = Clock(self.now)

    def close(self) -> None:
        self._client.close()

    # For whoever submits

    def create(
        self, request: GrowthRequest, plan: Plan, owner: str, idempotency_key: str | None = None
    ) -> tuple[Job, bool]:
        """A new queued job with its output reserved; or, and True, the job that the key made before.

        Raises IdempotencyConflict, OutputReserved.
        """
        created = self._clock.now()
        job_id = record.new_id(created)
        # Without a key the job's own id is the key, so that a repeated sending finds what the first one made.
        key = idempotency_key or job_id
        keys = [
            self.keys.idempotency(owner, key),
            *self.keys.fixed_indexes(owner, request.method.name, request.labels),
        ]
        outcome, *rest = self._on_job(
            "create",
            job_id,
            record.fingerprint(request),
            self._settings.idempotency_seconds,
            PUBLISH_GRACE_SECONDS,
            record.folder(request.output),
            *record.new_fields(request, plan, owner, created),
            more_keys=keys,
        )
        if outcome == "conflict":
            raise IdempotencyConflict(key)
        if outcome == "reserved":
            output, holder = rest
            raise OutputReserved(request.output, output, holder)
        if outcome == "known":
            return self.get(rest[0]), rest[0] != job_id
        return _job(rest[0]), False

    def request_cancel(self, job_id: str) -> Job:
        """Ends a queued job, asks the worker of a running one to stop, leaves an ended one. Raises JobNotFound."""
        outcome, *rest = self._on_job("cancel", job_id)
        if outcome == "not_found":
            raise JobNotFound(job_id)
        return _job(rest[0])

    # For whoever reads

    def get(self, job_id: str) -> Job:
        """Raises JobNotFound."""
        jobs = self._read([job_id])
        if not jobs:
            raise JobNotFound(job_id)
        return jobs[0]

    def list_jobs(self, where: Filter = EVERY_JOB, *, cursor: str | None = None, limit: int = 50) -> JobPage:
        """Newest first. Raises InvalidCursor."""
        bounds = where.bounds(cursor)
        ids, next_cursor = self._scripts.on_many("page", where.indexes(self.keys), [*bounds, limit, SCANNED])
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
        job = _job(rest[0])
        return Claim(job, job.attempt, record.moment(rest[1]))

    def renew(self, job_id: str, attempt: int) -> bool:
        """Another whole lease from now on; whether the job was asked to stop. Raises LeaseLost."""
        reply = self._fenced("renew", job_id, attempt, self._settings.lease_seconds)
        return reply is not None

    def update(self, job_id: str, attempt: int, *, stage: Stage | None = None, progress: float | None = None) -> None:
        """Where the work stands; a new stage begins at progress 0. Raises LeaseLost."""
        self._fenced("update", job_id, attempt, stage or "", "" if progress is None else float(progress))

    def append_event(
        self,
        job_id: str,
        attempt: int,
        kind: Literal[EventKind.PRETRAINING, EventKind.CANDIDATE, EventKind.FIT, EventKind.LOG],
        data: dict[str, JsonValue],
    ) -> None:
        """An event that changes no record. Raises LeaseLost; after a broken connection it may stand there twice."""
        self._fenced("append", job_id, attempt, kind, json.dumps(data))

    def finish(self, job_id: str, attempt: int, outcome: Result | Failure | None) -> Job:
        """Ends the job, once and forever: `succeeded`, `failed`, or with None `cancelled`. Raises LeaseLost."""
        match outcome:
            case Result():
                ending = (Status.SUCCEEDED, _json(outcome), "")
            case Failure():
                ending = (Status.FAILED, "", _json(outcome))
            case None:
                ending = (Status.CANCELLED, "", "")
        return _job(self._fenced("finish", job_id, attempt, *ending))

    def release(self, job_id: str, attempt: int, *, counts: bool) -> Job:
        """Back to the queue, or `cancelled` where that was asked for. Raises LeaseLost.

        `counts`: whether the attempt is one of `max_attempts`; a worker that is told to leave says no.
        """
        return _job(self._fenced("release", job_id, attempt, int(counts)))

    # For the reconciler

    def expired_leases(self, limit: int = 100) -> list[str]:
        """Ids of running jobs whose lease has ended."""
        with reaching_redis():
            ids: Any = self._client.zrangebyscore(self.keys.leases, "-inf", self.now(), start=0, num=limit)
        return list(ids)

    def reclaim(self, job_id: str) -> bool:
        """Takes the job from a worker that went silent, as `release` would; False where its lease has not ended."""
        outcome, *_ = self._on_job("reclaim", job_id, self._settings.lease_seconds)
        return bool(outcome == "ok")

    def take_due(self, limit: int = 100) -> list[str]:
        """Queued jobs to publish now; each stays in the outbox until `mark_published`."""
        return self._scripts.on_many("take_due", [self.keys.outbox], [limit, PUBLISH_GRACE_SECONDS])

    def mark_published(self, job_id: str) -> None:
        """A message for the job is in the broker."""
        self._on_job("published", job_id)

    def published_jobs(self) -> int:
        """How many queued jobs should have a message in the broker."""
        with reaching_redis():
            return int(self._client.zcard(self.keys.published))

    def republish(self, limit: int, silent_seconds: float) -> list[str]:
        """Puts the longest published of the jobs that nobody claimed since then back into the outbox."""
        return self._scripts.on_many("republish", [self.keys.published, self.keys.outbox], [limit, silent_seconds])

    def forget_ended(self, limit: int = 100) -> int:
        """Deletes jobs that ended longer ago than settings keep them; how many."""
        kept_seconds = self._settings.record_retention_seconds
        if kept_seconds is None:
            return 0
        before = self.now() - kept_seconds * 1_000_000
        with reaching_redis():
            ids: Any = self._client.zrangebyscore(self.keys.ended, "-inf", before, start=0, num=limit)
        return sum(map(self._forget, self._read(ids)))

    def _forget(self, job: Job) -> bool:
        indexes = self.keys.fixed_indexes(job.owner, job.request.method.name, job.request.labels)
        outcome, *_ = self._on_job("forget", job.id, more_keys=indexes)
        return bool(outcome == "ok")

    # For operators

    def now(self) -> int:
        """Redis' clock, in microseconds since 1970."""
        with reaching_redis():
            seconds, microseconds = self._client.time()
        return seconds * 1_000_000 + microseconds

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

    def _read(self, job_ids: Sequence[str]) -> list[Job]:
        """The jobs that (still) exist, all of one moment."""
        with reaching_redis(), self._client.pipeline(transaction=True) as pipeline:
            for job_id in job_ids:
                pipeline.hgetall(self.keys.job(job_id))
                pipeline.zrank(self.keys.waiting, job_id)
            replies = iter(pipeline.execute())
        found = zip(job_ids, replies, replies, strict=True)
        return [record.to_job(job_id, fields, position) for job_id, fields, position in found if fields]


def _job(reply: list[Any]) -> Job:
    """From what `record()` in `lua/job.lua` returns."""
    job_id, flat, queue_position = reply
    return record.to_job(job_id, dict(zip(flat[::2], flat[1::2], strict=True)), queue_position)


def _json(model: BaseModel) -> str:
    return model.model_dump_json(exclude_none=True)
