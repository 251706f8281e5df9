"""Every key in Redis: what it holds, and the only place where its name is made.

Single-node Redis or Valkey: one script touches keys that a cluster would keep apart. All start with the namespace.

| key                          | type   | holds                                                                  |
|------------------------------|--------|------------------------------------------------------------------------|
| job:<id>                     | hash   | the record: request, plan, status, attempt, version, ... (`record.py`) |
| events:<id>                  | stream | what happened to the job; the newest 10,000 or so                      |
| changes                      | pubsub | ids of jobs as they change; wakes readers, never the truth             |
| outbox                       | zset   | needs a message: queued, or cancelled with remains; score: when due    |
| published                    | zset   | queued, has one; score: since when                                     |
| waiting                      | zset   | queued; score: since when, so the rank is the queue position           |
| leases                       | zset   | running; score: when the lease ends                                    |
| outputs                      | zset   | "<output>/ <id>" of every live job, in byte order; released at its end |
| ended                        | zset   | succeeded, failed, cancelled; score: since when                        |
| counters                     | hash   | how often what happened, for ever (`counters.py`)                      |
| jobs:status:<status>         | zset   | listing indexes: ids sort by creation, so every score is 0             |
| jobs:all, jobs:owner:<owner> | zset   |                                                                        |
| jobs:method:<method>         | zset   |                                                                        |
| jobs:label:<key>=<value>     | zset   |                                                                        |
| idempotency:<sha256>         | string | "<fingerprint> <id>" of an owner's key; expires                        |
| celery:...                   |        | kombu's own: the queue's messages (`queue.py`)                         |
"""

import json
from collections.abc import Mapping
from hashlib import sha256

from jobs.schema import Status

NAMESPACE = "growth"


class Keys:
    """The keys of one namespace."""

    def __init__(self, namespace: str = NAMESPACE) -> None:
        self.namespace = namespace
        self.changes = self._key("changes")
        self.outbox = self._key("outbox")
        self.published = self._key("published")
        self.waiting = self._key("waiting")
        self.leases = self._key("leases")
        self.outputs = self._key("outputs")
        self.ended = self._key("ended")
        self.counters = self._key("counters")
        self.all = self._key("jobs", "all")
        self.broker_prefix = self._key("celery", "")

    def job(self, job_id: str) -> str:
        return self._key("job", job_id)

    def events(self, job_id: str) -> str:
        return self._key("events", job_id)

    def by_status(self, status: Status) -> str:
        return self._key("jobs", "status", status)

    def by_owner(self, owner: str) -> str:
        return self._key("jobs", "owner", owner)

    def by_method(self, method: str) -> str:
        return self._key("jobs", "method", method)

    def by_label(self, name: str, value: str) -> str:
        return self._key("jobs", "label", f"{name}={value}")

    def fixed_indexes(self, owner: str, method: str, labels: Mapping[str, str]) -> list[str]:
        """The listing indexes that a job stays in all its life."""
        return [self.all, self.by_owner(owner), self.by_method(method), *map(self.by_label, labels, labels.values())]

    def idempotency(self, owner: str, key: str) -> str:
        """Hashed, because both are free text of any length."""
        return self._key("idempotency", sha256(json.dumps([owner, key]).encode()).hexdigest())

    def of_job(self, job_id: str) -> list[str]:
        """What `lua/job.lua` unpacks, in its order."""
        shared = [self.changes, self.outbox, self.published, self.waiting, self.leases, self.outputs, self.ended]
        return [self.job(job_id), self.events(job_id), *shared, self.counters, *map(self.by_status, Status)]

    def _key(self, *parts: str) -> str:
        return ":".join((self.namespace, *parts))
