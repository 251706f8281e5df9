"""A job and its events as Redis holds them: flat text fields, times in whole microseconds, ids in order of creation."""

import json
import re
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import Any, TypeVar

from pydantic import BaseModel

from jobs.errors import InvalidCursor
from jobs.origin import NOWHERE, Origin
from jobs.schema import Delivery, Event, EventKind, Failure, FitPoint, GrowthRequest, Job, Plan, Result, Stage, Status
from jobs.search_space import Name
from jobs.tuning import AnyJob, TrialJob, TrialRequest, TrialResult, TuneJob, TunePlan, TuneRequest, TuneResult

Outcome = TypeVar("Outcome", bound=BaseModel)
QUOTA_FIELDS = ("load", "most_running")
"""Of a search, those that its trials have too."""
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
JOB_ID = re.compile(r"job-[0-9a-f]{14}-[0-9a-f]{10}")
EVENT_ID = re.compile(r"[0-9]{1,18}-[0-9]{1,18}")


def id_floor(created_microseconds: int) -> str:
    """The start of the ids of jobs created at that moment; ids sort by creation."""
    return f"job-{created_microseconds:014x}"


def new_id(created_microseconds: int) -> str:
    """A job id: when it was created, and 40 random bits."""
    return f"{id_floor(created_microseconds)}-{secrets.token_hex(5)}"


def checked_cursor(cursor: str, pattern: re.Pattern[str]) -> str:
    """The cursor itself. Raises InvalidCursor for one that was not handed out here."""
    if not pattern.fullmatch(cursor):
        raise InvalidCursor(cursor)
    return cursor


def microseconds(moment: datetime) -> int:
    """Since 1970, of a moment that knows its time zone."""
    return (moment - EPOCH) // timedelta(microseconds=1)


def moment(text: str) -> datetime:
    """The UTC moment of microseconds since 1970, exactly."""
    return EPOCH + timedelta(microseconds=int(text))


def fingerprint(request: GrowthRequest | TuneRequest) -> str:
    """SHA-256 of the request as canonical JSON: equal for bodies that mean the same."""
    canonical = json.dumps(request.model_dump(mode="json"), sort_keys=True, separators=(",", ":"))
    return sha256(canonical.encode()).hexdigest()


def folder(output: str) -> str:
    """The output with its closing slash, so that a name never looks like it lies inside of a shorter one."""
    return output if output.endswith("/") else output + "/"


def new_fields(
    request: GrowthRequest | TuneRequest,
    plan: Plan | TunePlan,
    owner: str,
    created_microseconds: int,
    indexes: Sequence[str],
    origin: Origin = NOWHERE,
    retry_of: str | None = None,
) -> list[str]:
    """Names and values in turn, of a record that nothing has happened to yet; `indexes` are for `lua/job.lua`."""
    told = {"plan": plan.model_dump_json(), "priority": request.priority, **origin.fields()}
    if retry_of is not None:
        told["retry_of"] = retry_of
    told["webhook"] = "0" if request.webhook is None else "1"
    if isinstance(request, TuneRequest):
        assert isinstance(plan, TunePlan)
        told["bytes"] = str(min(request.parallel, plan.trials) * plan.proxy.weight_bytes)
        # How often it was stepped, what it has not seen yet, and its trials that have not ended.
        return _new("tune", request, owner, created_microseconds, indexes, **told, step="0", news="0", live="0")
    assert isinstance(plan, Plan)
    told["bytes"] = str(plan.target.weight_bytes)
    return _new("grow", request, owner, created_microseconds, indexes, **told)


def new_trial_fields(
    request: TrialRequest,
    search: TuneJob,
    number: int,
    point: Mapping[Name, float],
    created_microseconds: int,
    quota: Mapping[str, str],
) -> list[str]:
    """The same of a trial, which no index lists; `quota` is what the search's record has of `QUOTA_FIELDS`."""
    told = {
        "search": search.id,
        "number": str(number),
        "point": json.dumps(point),
        # In those of its search, which stay taken from one trial to the next.
        "bytes": "0",
        **quota,
        **Origin(search.request_id).fields(),
    }
    return _new("trial", request, search.owner, created_microseconds, (), **told, priority=search.request.priority)


def _new(
    kind: str, request: BaseModel, owner: str, created_microseconds: int, indexes: Sequence[str], **more: str
) -> list[str]:
    fields = {
        "kind": kind,
        "request": request.model_dump_json(),
        "owner": owner,
        "indexes": json.dumps(indexes),
        "created_at": str(created_microseconds),
        "attempt": "0",
        "uncounted": "0",
        "progress": "0.0",
        "version": "0",
        **more,
    }
    return [text for pair in fields.items() for text in pair]


def restored_fields(job: Job, indexes: Sequence[str]) -> list[str]:
    """The same of a job that has succeeded, or was begun, less its status and its end."""
    made = new_fields(job.request, job.plan, job.owner, microseconds(job.created_at), indexes, Origin(job.request_id))
    fields = {
        "attempt": str(job.attempt),
        # Whatever ended those before, it may have been the loss of the record.
        "uncounted": str(job.attempt),
    }
    if job.result is not None:
        ended = job.result.model_dump_json(exclude_none=True)
        fields |= {"uncounted": "0", "stage": Stage.COMMITTING, "progress": "1.0", "result": ended}
    if job.started_at is not None:
        fields["started_at"] = str(microseconds(job.started_at))
    return [*made, *(text for pair in fields.items() for text in pair)]


def named(flat: Sequence[str]) -> dict[str, str]:
    """Names and values in turn, as a mapping; of a name that comes twice, the last value."""
    return dict(zip(flat[::2], flat[1::2], strict=True))


@dataclass(frozen=True)
class Queue:
    """What a job's place in the queue is told from."""

    position: int | None
    """Jobs ahead of it; None where it does not wait."""
    running: int
    pace_seconds: float | None
    """How long a job ran lately; None where none has ended yet."""

    @classmethod
    def of_replies(cls, position: int | None, running: int, pace: str | None) -> "Queue":
        """From Redis' answers for a rank, the number of leases and the pace."""
        return cls(position, running, None if pace is None else float(pace))

    def expected_wait_seconds(self) -> int | None:
        if self.position is None or self.pace_seconds is None or not self.running:
            return None
        return round((self.position + 1) * self.pace_seconds / self.running)


def retry_after_seconds(pace: str | None) -> int:
    """When it is worth asking again, of an owner who may have no more: about when a job ends, but not hours later."""
    return 30 if pace is None else min(max(round(float(pace)), 1), 300)


def _state(job_id: str, fields: Mapping[str, str], queue: Queue) -> dict[str, Any]:
    return {
        "id": job_id,
        "status": Status(fields["status"]),
        "stage": Stage(fields["stage"]) if "stage" in fields else None,
        "progress": float(fields["progress"]),
        "attempt": int(fields["attempt"]),
        "cancel_requested": "cancel_requested" in fields,
        "owner": fields["owner"],
        "request_id": fields.get("request_id"),
        "error": Failure.model_validate_json(fields["error"]) if "error" in fields else None,
        "created_at": moment(fields["created_at"]),
        "started_at": moment(fields["started_at"]) if "started_at" in fields else None,
        "finished_at": moment(fields["finished_at"]) if "finished_at" in fields else None,
        "queue_position": queue.position,
        "expected_wait_seconds": queue.expected_wait_seconds(),
        "webhook": _delivery(fields),
        "retry_of": fields.get("retry_of"),
        "retried_by": fields.get("retried_by"),
        "version": int(fields["version"]),
    }


def to_new_job(
    job_id: str,
    fields: Mapping[str, str],
    queue: Queue,
    request: GrowthRequest | TuneRequest,
    plan: Plan | TunePlan,
) -> Job | TuneJob:
    """The same as `to_job` for whoever has just made the record, and needs not read `request` and `plan` again."""
    kind = Job if isinstance(request, GrowthRequest) else TuneJob
    return kind(**_state(job_id, fields, queue), request=request, plan=plan)


def to_job(job_id: str, fields: Mapping[str, str], queue: Queue) -> AnyJob:
    """The record as the schema has it; without a search's trials, or a trial's curve."""
    state = _state(job_id, fields, queue)
    match fields["kind"]:
        case "tune":
            return TuneJob(
                **state,
                request=TuneRequest.model_validate_json(fields["request"]),
                plan=TunePlan.model_validate_json(fields["plan"]),
                result=_result(TuneResult, fields),
            )
        case "trial":
            return TrialJob(
                **state,
                search=fields["search"],
                number=int(fields["number"]),
                point=json.loads(fields["point"]),
                request=TrialRequest.model_validate_json(fields["request"]),
                result=_result(TrialResult, fields),
                pruned="pruned" in fields,
            )
    return Job(
        **state,
        request=GrowthRequest.model_validate_json(fields["request"]),
        plan=Plan.model_validate_json(fields["plan"]),
        result=_result(Result, fields),
    )


def to_curve(points: Mapping[str, str]) -> list[FitPoint]:
    """The points of a curve in the order of their steps."""
    return sorted(map(FitPoint.model_validate_json, points.values()), key=lambda point: point.step)


def _result(kind: type[Outcome], fields: Mapping[str, str]) -> Outcome | None:
    return kind.model_validate_json(fields["result"]) if "result" in fields else None


def _delivery(fields: Mapping[str, str]) -> Delivery | None:
    if "webhook_state" not in fields:
        return None
    return Delivery.model_validate(
        {
            "state": fields["webhook_state"],
            "attempts": int(fields["webhook_attempts"]),
            "error": fields["webhook_error"] or None,
        }
    )


def to_event(event_id: str, fields: Mapping[str, str]) -> Event:
    """A stream entry as the schema has it; its id holds Redis' clock in milliseconds."""
    return Event(
        id=event_id,
        at=EPOCH + timedelta(milliseconds=int(event_id.partition("-")[0])),
        kind=EventKind(fields["kind"]),
        attempt=int(fields["attempt"]),
        data=json.loads(fields["data"]),
    )
