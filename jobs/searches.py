"""The record of a search as its steps see it: read at one moment, changed in one go, and only by the first to do so.

A search is nobody's to hold: it has no lease and takes no worker's time but that of its short steps. A step reads all
there is, decides, and writes all of it in one script, which refuses where another step came first. So any number of
workers may step the same search, and one that dies in the middle has changed nothing.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from jobs import record
from jobs.errors import JobNotFound
from jobs.keys import NAMESPACE, Keys
from jobs.schema import Failure, Status
from jobs.scripts import Scripts, connect, reaching_redis
from jobs.search_space import Name
from jobs.settings import SharedSettings
from jobs.store import PUBLISH_GRACE_SECONDS, JobStore
from jobs.tuning import TrialJob, TrialRequest, TuneJob, TuneResult


@dataclass(frozen=True)
class Seen:
    """A search as one step finds it."""

    job: TuneJob
    trials: Sequence[TrialJob]
    journal: Sequence[str]
    """Optuna's, one entry as JSON each."""
    steps: int
    """Before this one."""
    news: int
    """Trials that ended, and no step has seen yet."""
    room: int | None
    """For so many more jobs that wait there is room in the owner's quota; None where it has no limit."""
    quota: Mapping[str, str]
    """What its trials' records have of the owner's quota."""


@dataclass(frozen=True)
class NewTrial:
    number: int
    point: Mapping[Name, float]
    request: TrialRequest


@dataclass(frozen=True)
class Step:
    """What a step has decided."""

    entries: Sequence[str] = ()
    """For the journal, after those that are there."""
    trials: Sequence[NewTrial] = ()
    progress: float = 0.0
    outcome: TuneResult | Failure | None = None
    """Ends the search."""
    held: bool = False
    """Whether there would be more trials if the owner's quota had room; then the search is looked at again."""


class Searches:
    """The searches on the records that `store` holds."""

    def __init__(self, store: JobStore, settings: SharedSettings, namespace: str = NAMESPACE) -> None:
        self._store, self._keys = store, Keys(namespace)
        self._client = connect(settings.redis_url)
        self._scripts = Scripts(self._client)

    def close(self) -> None:
        self._client.close()

    def see(self, search_id: str) -> Seen:
        """The search as it is now. Raises JobNotFound."""
        fields, job, journal = self._read(search_id)
        # After the number of news: what ends from here on is counted for the next step.
        return Seen(
            job,
            self._store.trials(search_id),
            journal,
            int(fields["step"]),
            int(fields["news"]),
            self._room(job, fields),
            {name: fields[name] for name in record.QUOTA_FIELDS if name in fields},
        )

    def _room(self, job: TuneJob, fields: Mapping[str, str]) -> int | None:
        if "most_queued" not in fields:
            return None
        with reaching_redis():
            queued: Any = self._client.hget(fields["load"], "queued")
        # Its own place among those that wait is free as soon as it is stepped.
        others = int(queued or 0) - (job.status is Status.QUEUED)
        return max(0, int(fields["most_queued"]) - others)

    def known(self, search_id: str) -> tuple[TuneJob, list[str]]:
        """The search without its trials, and its journal, which is empty once it has ended. Raises JobNotFound."""
        _, job, journal = self._read(search_id)
        return job, journal

    def commit(self, seen: Seen, step: Step) -> list[str] | None:
        """Ids of the step's new trials, now to be published; None where another step came first, or all is over."""
        created = self._store.now()
        trials = [(record.new_id(created + place), trial) for place, trial in enumerate(step.trials)]
        texts: list[str | float] = []
        for job_id, trial in trials:
            fields = record.new_trial_fields(trial.request, seen.job, trial.number, trial.point, created, seen.quota)
            texts += [job_id, len(fields), *fields]
        outcome, *_ = self._scripts.on_job(
            "step",
            self._keys.of_job(seen.job.id),
            [
                seen.job.id,
                seen.steps,
                seen.news,
                float(step.progress),
                PUBLISH_GRACE_SECONDS,
                *_ending(step.outcome),
                len(trials),
                int(step.held),
                len(step.entries),
                *step.entries,
                *texts,
            ],
        )
        return [job_id for job_id, _ in trials] if outcome == "ok" else None

    def _read(self, search_id: str) -> tuple[Mapping[str, str], TuneJob, list[str]]:
        with reaching_redis(), self._client.pipeline(transaction=True) as pipeline:
            pipeline.hgetall(self._keys.job(search_id))
            pipeline.lrange(self._keys.journal(search_id), 0, -1)
            fields, journal = pipeline.execute()
        if not fields:
            raise JobNotFound(search_id)
        job = record.to_job(search_id, fields, record.Queue(None, 0, None))
        assert isinstance(job, TuneJob)
        return fields, job, journal


def _ending(outcome: TuneResult | Failure | None) -> tuple[str, str]:
    if outcome is None:
        return "", ""
    status = "succeeded" if isinstance(outcome, TuneResult) else "failed"
    return status, outcome.model_dump_json(exclude_none=True)
