"""Everything around a worker: its Redis, its stores, a reconciler, and whoever submits jobs and waits for them."""

import itertools
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from celery import Celery

from jobs.queue import enqueue, make_celery
from jobs.reconcile import Reconciler
from jobs.schema import GrowthRequest, Job, Plan, Stage, Status
from jobs.store import JobStore
from jobs.tuning import TrialJob, TuneJob
from storage import Storage, Uri
from tests.servers import RedisServer, S3Server
from tests.worker.processes import WorkerProcess, wait_until, worker_process
from worker.planning import plan_of, source_checkpoint
from worker.settings import WorkerSettings, open_storage

Kind = TypeVar("Kind", Job, TuneJob, TrialJob)
TARGET = {"hidden_size": 64, "num_hidden_layers": 4}


@dataclass
class Farm:
    """`root` is an empty prefix of the store that jobs read from and write to."""

    settings: WorkerSettings
    environment: dict[str, str]
    root: Uri
    folder: Path
    store: JobStore
    celery: Celery
    storage: Storage
    _number: Iterator[int] = field(default_factory=itertools.count)

    def worker(self) -> AbstractContextManager[WorkerProcess]:
        return worker_process(self.environment, self.folder / f"worker-{next(self._number)}.log")

    def upload(self, checkpoint: Path, name: str = "source") -> Uri:
        """The checkpoint's place in the store."""
        for path in checkpoint.iterdir():
            self.storage.put(self.root.join(f"{name}/{path.name}"), path.read_bytes())
        return self.root.join(name)

    def download(self, uri: Uri) -> Path:
        """The folder that now holds the objects under `uri`."""
        folder = self.folder / f"downloaded-{next(self._number)}"
        folder.mkdir()
        for name, data in self.objects(uri).items():
            (folder / name).write_bytes(data)
        return folder

    def objects(self, uri: Uri) -> dict[str, bytes]:
        """All that lies under `uri`, by name."""
        return {info.uri.name: self.storage.read(info.uri) for info in self.storage.list(uri)}

    def names(self, uri: Uri) -> set[str]:
        """What lies under `uri`."""
        return {info.uri.key.removeprefix(f"{uri.key}/") for info in self.storage.list(uri)}

    def request(self, source: Uri | dict[str, Any], **changes: Any) -> GrowthRequest:
        output = self.root.join(f"output-{next(self._number)}")
        told = {
            "source": str(source) if isinstance(source, Uri) else source,
            "output": str(output),
            "target": TARGET,
            "method": "hypercloning",
        }
        return GrowthRequest.model_validate({**told, "verify": False, **changes})

    def submit(self, request: GrowthRequest) -> Job:
        """As the service does it."""
        source = source_checkpoint(request, self.storage)
        plan = Plan.model_validate(plan_of(request, source).summary())
        job, _ = self.store.create(request, plan, "ada")
        enqueue(self.celery, self.store, job.id)
        return job

    def wait_for(self, job: Kind, status: Status, seconds: float = 60.0) -> Kind:
        """The job once it has this status; fails the test at once where it ends otherwise."""
        found = job

        def reached() -> bool:
            nonlocal found
            now = self.store.get(job.id)
            assert isinstance(now, type(job))
            found = now
            assert found.status is status or not found.status.terminal, found.error
            return found.status is status

        wait_until(reached, seconds)
        return found

    def wait_for_stage(self, job: Job, stage: Stage, attempt: int = 1) -> None:
        def reached() -> bool:
            found = self.store.get(job.id)
            return (found.attempt, found.stage) == (attempt, stage)

        wait_until(reached)

    def to_clear(self) -> int:
        """Jobs that may have left something, or wait for a worker."""
        client, keys = self.store._client, self.store.keys
        return int(client.zcard(keys.outbox)) + int(client.zcard(keys.published))

    def wait_for_clearing(self) -> None:
        """A worker clears up after its job has ended; one that leaves before leaves that to another."""
        wait_until(lambda: not self.to_clear())


@contextmanager
def farm(redis: RedisServer, root: Uri, folder: Path, s3: S3Server | None = None, **changes: object) -> Iterator[Farm]:
    """A farm whose leases are short; a reconciler runs, but no worker yet."""
    told: dict[str, object] = {
        "redis_url": redis.url,
        "state_uri": f"file://{folder}/state",
        "lease_seconds": 2.0,
        "lease_renew_seconds": 0.5,
        "retry_wait_seconds": 0.2,
    }
    if s3 is not None:
        told |= {
            "s3_endpoint_url": s3.endpoint_url,
            "s3_access_key_id": s3.access_key,
            "s3_secret_access_key": s3.secret_key,
        }
    told |= changes
    environment = {f"GROW_{name.upper()}": str(value) for name, value in told.items()}
    settings = WorkerSettings.model_validate(told)
    store, celery = JobStore(settings), make_celery(settings)
    reconciler = Reconciler(store, celery, interval_seconds=0.1, silent_seconds=settings.lease_seconds)
    reconciler.start()
    try:
        yield Farm(settings, environment, root, folder, store, celery, open_storage(settings))
    finally:
        reconciler.stop()
        celery.close()
        store.close()
