"""Finds the job that an idempotency key made before, so that a replay is answered though its output now exists.

`JobStore.create` decides; this only looks, where a check was failed, as by a finished job's own output.
"""

from typing import Any

from jobs.errors import IdempotencyConflict
from jobs.record import fingerprint
from jobs.schema import GrowthRequest, Job
from jobs.scripts import connect, reaching_redis
from jobs.store import JobStore


class Replays:
    """Looks into the store's own idempotency keys, which `jobs/keys.py` describes."""

    def __init__(self, store: JobStore, redis_url: str) -> None:
        self._store = store
        self._client = connect(redis_url)

    def close(self) -> None:
        self._client.close()

    def find(self, request: GrowthRequest, owner: str, key: str) -> Job | None:
        """The job made with this key. Raises IdempotencyConflict, JobNotFound, StoreUnavailable."""
        with reaching_redis():
            known: Any = self._client.get(self._store.keys.idempotency(owner, key))
        if known is None:
            return None
        known_fingerprint, _, job_id = known.partition(" ")
        if known_fingerprint != fingerprint(request):
            raise IdempotencyConflict(key)
        return self._store.get(job_id)
