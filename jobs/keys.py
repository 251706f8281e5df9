"""Every key in Redis: what it holds, and the only place where its name is made.

Single-node Redis or Valkey: one script touches keys that a cluster would keep apart. All start with the namespace.

| key                          | type   | holds                                                                  |
|------------------------------|--------|------------------------------------------------------------------------|
| job:<id>                     | hash   | the record: request, plan, status, attempt, version, ... (`record.py`) |
| events:<id>                  | stream | what happened to the job; the newest 10,000 or so                      |
| curve:<id>                   | hash   | of a trial: its held-out losses, by step                               |
| trials:<id>                  | zset   | of a search: the ids of its trials; score 0                            |
| journal:<id>                 | list   | of a search until it ends: Optuna's journal, one entry as JSON each    |
| changes                      | pubsub | ids of jobs as they change; wakes readers, never the truth             |
| outbox                       | zset   | needs a message: queued, ended with remains, or a search with news;    |
|                              |        | score: when due                                                        |
| published                    | zset   | has one; score: since when                                             |
| waiting                      | zset   | queued; score: priority, whether given back, since when, so the rank   |
|                              |        | is the queue position                                                  |
| leases                       | zset   | running; score: when the lease ends                                    |
| looked                       | string | when leases were last looked at                                        |
| outputs                      | zset   | "<output>/ <id>" of every live job, in byte order; released at its end |
| pace                         | string | seconds that a job runs: a mean in which the latest weighs most        |
| ended                        | zset   | succeeded, failed, cancelled; score: since when; without trials        |
| counters                     | hash   | how often what happened, for ever (`counters.py`)                      |
| jobs:all                     | zset   | listing indexes: ids sort by creation, so every score is 0             |
| jobs:<sha256>                | zset   | those of an owner, of one kind, one method or any, one label or any    |
| <a listing index>:<status>   | zset   | its jobs of one status                                                 |
| idempotency:<sha256>         | string | "<fingerprint> <id>" of an owner's key; expires                        |
| webhooks                     | zset   | ended, its webhook not delivered; score: when due (`webhooks.py`)      |
| webhook_secrets              | hash   | what each owner's webhooks are signed with                             |
| load:<sha256>                | hash   | how many jobs and trials of an owner are queued and running, and the   |
|                              |        | bytes that these will write: what quotas are held against              |
| api_keys                     | hash   | what is known of each key, by its SHA-256 (`service/key_store.py`)     |
| celery:...                   |        | kombu's own: the queue's messages (`queue.py`)                         |
"""

import json
from collections.abc import Hashable
from functools import lru_cache
from hashlib import sha256
from itertools import product
from typing import Literal

from jobs.schema import GrowthRequest, Status
from jobs.tuning import TuneRequest

NAMESPACE = "growth"
Kind = Literal["grow", "tune"]
"""Of the jobs that are listed; trials are told with their search."""


class Keys:
    """The keys of one namespace."""

    def __init__(self, namespace: str = NAMESPACE) -> None:
        self.namespace = namespace
        self.changes = self._key("changes")
        self.outbox = self._key("outbox")
        self.published = self._key("published")
        self.waiting = self._key("waiting")
        self.leases = self._key("leases")
        self.looked = self._key("looked")
        self.outputs = self._key("outputs")
        self.ended = self._key("ended")
        self.counters = self._key("counters")
        self.pace = self._key("pace")
        self.all = self._key("jobs", "all")
        self.webhooks = self._key("webhooks")
        self.webhook_secrets = self._key("webhook_secrets")
        self.api_keys = self._key("api_keys")
        self.broker_prefix = self._key("celery", "")

    def job(self, job_id: str) -> str:
        return self._key("job", job_id)

    def events(self, job_id: str) -> str:
        return self._key("events", job_id)

    def curve(self, trial_id: str) -> str:
        return self._key("curve", trial_id)

    def trials(self, search_id: str) -> str:
        return self._key("trials", search_id)

    def journal(self, search_id: str) -> str:
        return self._key("journal", search_id)

    def by_owner(
        self,
        owner: str,
        method: str | None = None,
        label: tuple[str, str] | None = None,
        kind: Kind | None = None,
    ) -> str:
        """The index of an owner's jobs, of one method or kind where it is given, and with one label where that is."""
        return self._key("jobs", _hashed(owner, method, label, kind))

    def fixed_indexes(self, owner: str, request: GrowthRequest | TuneRequest) -> list[str]:
        """The listing indexes that a job stays in all its life; at each time it is in one part of each by its status.

        One for every choice of filters but several labels, so that a page is read off without a search.
        """
        kinds: list[tuple[str | None, Kind | None]] = [(None, None), (None, "tune")]
        if isinstance(request, GrowthRequest):
            kinds = [(None, None), (None, "grow"), (request.method.name, None)]
        choices = product(kinds, (None, *request.labels.items()))
        return [self.all, *(self.by_owner(owner, method, label, kind) for (method, kind), label in choices)]

    def with_status(self, index: str, status: Status) -> str:
        """The part of a listing index with the jobs of one status."""
        return f"{index}:{status}"

    def load(self, owner: str) -> str:
        return self._key("load", _hashed(owner))

    def idempotency(self, owner: str, key: str) -> str:
        return self._key("idempotency", _hashed(owner, key))

    def of_job(self, job_id: str) -> list[str]:
        """What `lua/job.lua` unpacks, in its order."""
        sets = [self.outbox, self.published, self.waiting, self.leases, self.outputs, self.ended]
        own = [self.job(job_id), self.events(job_id), self.changes]
        return [*own, *sets, self.pace, self.webhooks, self.counters]

    def _key(self, *parts: str) -> str:
        return ":".join((self.namespace, *parts))


@lru_cache(maxsize=4096)
def _hashed(*parts: Hashable) -> str:
    """Short, of free text of any length, and for no two lists of it the same."""
    return sha256(json.dumps(parts).encode()).hexdigest()[:32]
