"""What a new job is made from, what `lua/create.lua` is told of it, and what the script's answer means."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from jobs import record
from jobs.errors import IdempotencyConflict, JobNotFound, NotRetryable, OutputReserved, QuotaExceeded
from jobs.keys import Keys
from jobs.origin import NOWHERE, Origin
from jobs.quotas import NO_QUOTA, Quota
from jobs.schema import GrowthRequest, Job, Plan
from jobs.tuning import TuneJob, TunePlan, TuneRequest


@dataclass(frozen=True, slots=True)
class Creation:
    """A request that was checked, and whose job is to be on record."""

    request: GrowthRequest | TuneRequest
    plan: Plan | TunePlan
    owner: str
    idempotency_key: str | None = None
    origin: Origin = NOWHERE
    retry_of: str | None = None
    """A job that ended without a result, and is its own key, for good."""
    quota: Quota = NO_QUOTA


class Draft:
    """A creation on its way into Redis, with the id that its job will have."""

    def __init__(self, creation: Creation, keys: Keys, created_microseconds: int) -> None:
        self._creation, self._keys = creation, keys
        self.job_id = record.new_id(created_microseconds)
        # Without a key the job's own id is the key, so that a repeated sending finds what the first one made.
        self._key = creation.idempotency_key or self.job_id
        indexes = keys.fixed_indexes(creation.owner, creation.request)
        self._fields = record.new_fields(
            creation.request,
            creation.plan,
            creation.owner,
            created_microseconds,
            indexes,
            creation.origin,
            creation.retry_of,
        )

    def keys(self) -> list[str]:
        """The keys that the script takes."""
        former = self._creation.retry_of
        return [
            *self._keys.of_job(self.job_id),
            self._keys.idempotency(self._creation.owner, self._key),
            *([] if former is None else [self._keys.job(former), self._keys.events(former)]),
        ]

    def arguments(self, remember_seconds: float, publish_seconds: float) -> list[str | float]:
        """The arguments that the script takes."""
        creation = self._creation
        return [
            self.job_id,
            record.fingerprint(creation.request),
            remember_seconds,
            publish_seconds,
            creation.retry_of or "",
            *creation.quota.arguments(),
            record.folder(creation.request.output) if isinstance(creation.request, GrowthRequest) else "",
            *self._fields,
            *("load", self._keys.load(creation.owner)),
            *creation.quota.fields(),
        ]

    def made(self, reply: Sequence[Any]) -> Job | TuneJob | str:
        """The new job, or the id of the one that the key made before.

        Raises IdempotencyConflict, OutputReserved, NotRetryable, JobNotFound, QuotaExceeded.
        """
        creation = self._creation
        outcome, *rest = reply
        match outcome:
            case "conflict":
                raise IdempotencyConflict(self._key)
            case "reserved":
                assert isinstance(creation.request, GrowthRequest)
                reserved, holder = rest
                raise OutputReserved(creation.request.output, reserved, holder)
            case "not_retryable":
                former = str(creation.retry_of)
                raise JobNotFound(former) if rest[0] is None else NotRetryable(former, rest[0])
            case "quota":
                exceeded, pace = rest
                raise QuotaExceeded(exceeded, record.retry_after_seconds(pace))
            case "known":
                return str(rest[0])
        [[_, set_by_script, *queue]] = rest
        fields = record.named([*self._fields, *set_by_script])
        return record.to_new_job(self.job_id, fields, record.Queue.of_replies(*queue), creation.request, creation.plan)
