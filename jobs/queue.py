"""Celery, set up for hour-long jobs on Redis: messages hold a job's id and only say "look at this record".

A message may come twice, late or never; the record's lease and the reconciler make up for each. So no result is kept
here, and no setting below is needed for correctness.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from celery import Celery
from kombu.exceptions import OperationalError

from jobs.keys import NAMESPACE, Keys
from jobs.schema import Priority
from jobs.scripts import ANSWER_SECONDS, CONNECT_SECONDS, reaching_redis, unavailable
from jobs.settings import SharedSettings
from jobs.store import JobStore

TASK_NAME = "growth.run_job"
REDELIVERY_SECONDS = 24 * 3600
STEPS: Mapping[Priority, int] = {"high": 1, "normal": 3, "low": 5}
"""kombu's priorities, each a list of its own: workers take from the first that has any. A job that was begun and given
back goes into the list before."""
BEGUN = -1


def make_celery(settings: SharedSettings, namespace: str = NAMESPACE) -> Celery:
    """The app that the service publishes with and the worker consumes with."""
    celery = Celery("model-growth", broker=settings.redis_url)
    celery.conf.update(
        # The record is the only truth: no second copy of a status, no expiry to think of.
        result_backend=None,
        task_ignore_result=True,
        # Never pickle: whoever can write to the broker must not run code here.
        accept_content=["json"],
        task_serializer="json",
        # The outbox is what tries again; a request must not wait for the broker.
        task_publish_retry=False,
        task_default_queue=settings.queue,
        # A worker that dies leaves its message in the broker.
        task_acks_late=True,
        # The same where only its pool process dies; the record counts attempts, so that this ends.
        task_reject_on_worker_lost=True,
        # One job at a time: a message held back by a busy worker is one that an idle worker could have.
        worker_prefetch_multiplier=1,
        # A restart of Redis must not end an hour's fit; True is the default from Celery 6 on.
        worker_cancel_long_running_tasks_on_connection_loss=False,
        # A worker outlives Redis: it tries to reach it again for as long as it takes, from the start on.
        broker_connection_retry_on_startup=True,
        broker_connection_max_retries=None,
        broker_connection_timeout=CONNECT_SECONDS,
        broker_transport_options={
            # kombu's own keys (its list of unacknowledged messages among them) apart from other apps on this Redis.
            "global_keyprefix": Keys(namespace).broker_prefix,
            # After this a message is delivered again while its job still runs, and dropped, because the job is leased.
            "visibility_timeout": REDELIVERY_SECONDS,
            "priority_steps": sorted(step + begun for step in STEPS.values() for begun in (BEGUN, 0)),
            # kombu waits forever by default.
            "socket_connect_timeout": CONNECT_SECONDS,
            "socket_timeout": ANSWER_SECONDS,
            "socket_keepalive": True,
            "health_check_interval": 30,
        },
    )
    return celery


def enqueue(celery: Celery, store: JobStore, job_id: str) -> None:
    """Publishes the job's id and notes it in the outbox; sent twice where the second step fails.

    Raises StoreUnavailable; the job stays in the outbox then, and a reconciler publishes it.
    """
    priority, begun = store.turn(job_id)
    with _reaching_broker():
        celery.send_task(TASK_NAME, args=[job_id], priority=STEPS[priority] + (BEGUN if begun else 0))
    store.mark_published(job_id)


def waiting_messages(celery: Celery) -> int:
    """How many messages no worker has taken yet. Raises StoreUnavailable."""
    with _reaching_broker(), celery.connection_for_write() as connection:
        declared = connection.default_channel.queue_declare(queue=celery.conf.task_default_queue)
    return int(declared.message_count)


@contextmanager
def _reaching_broker() -> Iterator[None]:
    with reaching_redis():
        try:
            yield
        except OperationalError as error:
            raise unavailable(error) from error
