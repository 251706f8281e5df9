"""Webhooks that are due, in Redis: what the service sends them from, and the secrets that it signs them with.

The end of a job and the word that its webhook is due are one script, so that no end is forgotten. Whoever takes a due
one has it for `SENDING_SECONDS`; after that it is due again, so that a receiver may get one twice, with the same id.
"""

import base64
import secrets
from typing import Any

from pydantic import BaseModel

from jobs.errors import JobNotFound, WebhookNotDue
from jobs.keys import NAMESPACE, Keys
from jobs.scripts import Scripts, connect, reaching_redis

SENDING_SECONDS = 60
RETRY_SECONDS = (5, 300, 1_800, 7_200, 18_000, 36_000, 50_400, 72_000, 86_400)
"""Between the attempts, as the Standard Webhooks specification proposes: ten of them in three days."""
FORMER_SECONDS = 86_400
"""How long the secret of before signs beside a new one."""
SECRET_BYTES = 32


class Secrets(BaseModel):
    """What the webhooks of one owner are signed with."""

    current: str
    former: str | None = None
    changed_at: int
    """In microseconds, by Redis' clock."""

    def good_at(self, moment: int) -> list[str]:
        """Those to sign with, the current one first."""
        fresh = self.former is not None and moment - self.changed_at < FORMER_SECONDS * 1_000_000
        return [self.current, *([self.former] if self.former is not None and fresh else [])]


class Webhooks:
    """For any number of threads and processes. Raises StoreUnavailable."""

    def __init__(self, redis_url: str, namespace: str = NAMESPACE) -> None:
        self._keys = Keys(namespace)
        self._client = connect(redis_url)
        self._scripts = Scripts(self._client)

    def close(self) -> None:
        self._client.close()

    def take_due(self, limit: int) -> list[str]:
        """Ids of jobs whose webhooks are to be sent now, by nobody else for a while."""
        return self._scripts.on_many("take_due", [self._keys.webhooks], [limit, SENDING_SECONDS])

    def sent(self, job_id: str, failure: str | None = None, *, for_good: bool = False) -> None:
        """One attempt is over: delivered, or else tried again unless the failure is `for_good` or the last."""
        waits = () if failure is None or for_good else RETRY_SECONDS
        self._on_job("sent", job_id, failure or "", *waits)

    def send_again(self, job_id: str) -> None:
        """Due at once, with all its attempts. Raises JobNotFound, WebhookNotDue."""
        outcome = self._on_job("resend", job_id)
        if outcome == "not_found":
            raise JobNotFound(job_id)
        if outcome == "not_due":
            raise WebhookNotDue(job_id)

    def secrets_of(self, owner: str) -> list[str]:
        """What to sign this owner's webhooks with, the current one first; made when first asked for."""
        now = self._now()
        with reaching_redis():
            self._client.hsetnx(self._keys.webhook_secrets, owner, _new(now).model_dump_json())
            found: Any = self._client.hget(self._keys.webhook_secrets, owner)
        return Secrets.model_validate_json(found).good_at(now)

    def change_secret(self, owner: str) -> str:
        """A new secret; the one of before signs too for a day."""
        changed = _new(self._now(), self.secrets_of(owner)[0])
        with reaching_redis():
            self._client.hset(self._keys.webhook_secrets, owner, changed.model_dump_json())
        return changed.current

    def _on_job(self, script: str, job_id: str, *arguments: str | int) -> str:
        outcome, *_ = self._scripts.on_job(script, self._keys.of_job(job_id), [job_id, *arguments])
        return str(outcome)

    def _now(self) -> int:
        with reaching_redis():
            seconds, microseconds = self._client.time()
        return seconds * 1_000_000 + microseconds


def _new(now: int, former: str | None = None) -> Secrets:
    made = "whsec_" + base64.b64encode(secrets.token_bytes(SECRET_BYTES)).decode()
    return Secrets(current=made, former=former, changed_at=now)
