"""The Celery task, and what a worker's processes do when they start and when they are told to leave.

Told to leave (SIGTERM), Celery's main process stops taking messages and waits for its pool process, which would go on
with an hour's job. So it passes the word on, with a signal that Celery itself leaves alone; the pool process stops its
child and gives the job back. A SIGTERM to every process of the worker at once, as systemd sends it, means the same.
"""

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from functools import cache, partial

from billiard import active_children
from celery import current_app, shared_task
from celery.exceptions import Reject
from celery.signals import celeryd_after_setup, setup_logging, worker_process_init, worker_shutting_down

from jobs.queue import TASK_NAME, enqueue
from jobs.redaction import Redactor, redact_logs
from jobs.store import JobStore
from storage import Storage, Uri
from telemetry.logs import configure_logs
from telemetry.traces import open_traces
from worker.attempt import Site
from worker.conditions import Conditions
from worker.dispatch import work_on
from worker.settings import WorkerSettings, open_storage
from worker.spare import Spare

LEAVE = signal.SIGUSR2

leaving = threading.Event()
"""Of this process: set once, when it is told to leave."""
spare = Spare()
conditions = Conditions()
"""Both are of the pool process alone, and empty in Celery's main process."""


@shared_task(name=TASK_NAME)  # type: ignore[untyped-decorator]
def run_job(job_id: str) -> None:
    """One attempt at the job, or one step of a search; whatever comes of it is in the job's record."""
    if leaving.is_set():
        raise Reject("the worker is leaving", requeue=True)
    settings = WorkerSettings()
    with _heeding_sigterm(), closing(open_traces("worker")) as traces, closing(JobStore(settings)) as store:
        site = Site(settings, store, _storage(), leaving, spare, conditions, traces)
        work_on(job_id, site, partial(enqueue, current_app, store))
    if not leaving.is_set():
        spare.prepare()


@cache
def _storage() -> Storage:
    """Of this process, for one job after the other, because a client takes long to make."""
    return open_storage(WorkerSettings())


def _configure_logs(**_: object) -> None:
    settings = WorkerSettings()
    configure_logs(settings.log_format)
    redact_logs(Redactor(settings.secrets()))


def _one_log(**_: object) -> None:
    # With it a spawned process writes in a format of billiard's own until the line above has run in it too.
    os.environ.pop("_MP_FORK_LOGLEVEL_", None)


def _begin(**_: object) -> None:
    signal.signal(LEAVE, _leave)
    settings = WorkerSettings()
    conditions.ask_early(_storage(), Uri.parse(settings.state_uri))
    spare.prepare()


def _pass_on(**_: object) -> None:
    for process in active_children():
        with suppress(ProcessLookupError):
            os.kill(process.pid, LEAVE)


@contextmanager
def _heeding_sigterm() -> Iterator[None]:
    # billiard's own handler would raise SystemExit wherever the task happens to be.
    before = signal.signal(signal.SIGTERM, _leave)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _leave(_number: int, _frame: object) -> None:
    leaving.set()


setup_logging.connect(_configure_logs)
celeryd_after_setup.connect(_one_log)
worker_process_init.connect(_begin)
worker_shutting_down.connect(_pass_on)
