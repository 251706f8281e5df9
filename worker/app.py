"""The worker's composition root, for `celery -A worker.app worker`: one process that takes one job at a time."""

from celery import Celery

from jobs.queue import make_celery
from jobs.startup import starting
from telemetry import traces
from worker import tracking
from worker.idle import install
from worker.settings import WorkerSettings


def make_worker(settings: WorkerSettings) -> Celery:
    """The app whose worker runs jobs."""
    celery = make_celery(settings)
    celery.conf.update(
        include=["worker.task"],
        # A process that can be left to die; its child does the work, so that it never loads torch.
        worker_pool="prefork",
        # A fork would inherit threads and locks in any state.
        worker_pool_start_method="spawn",
        # One job has the machine's GPU, or all its cores, to itself.
        worker_concurrency=1,
        worker_redirect_stdouts=False,
        worker_hijack_root_logger=False,
    )
    install(celery)
    return celery


with starting():
    traces.check_installed()
    tracking.check_installed()
    app = make_worker(WorkerSettings())
