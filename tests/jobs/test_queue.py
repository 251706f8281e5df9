"""What travels through Celery, and what happens when the broker is away."""

import json
from pathlib import Path

import pytest
import redis
from celery import Celery

from jobs.errors import StoreUnavailable
from jobs.keys import Keys
from jobs.queue import TASK_NAME, enqueue, make_celery, waiting_messages
from jobs.settings import SharedSettings
from jobs.store import JobStore
from tests.jobs.samples import submit
from tests.servers import valkey_server


def test_a_message_holds_the_jobs_id_and_nothing_else(
    celery: Celery, store: JobStore, settings: SharedSettings, namespace: str
) -> None:
    job = submit(store)
    enqueue(celery, store, job.id)
    assert waiting_messages(celery) == 1
    with redis.Redis.from_url(settings.redis_url) as client:
        [message] = client.lrange(Keys(namespace).broker_prefix + settings.queue, 0, -1)
    headers = json.loads(message)["headers"]
    assert headers["task"] == TASK_NAME
    assert headers["argsrepr"] == f"['{job.id}']"
    with celery.connection_for_read() as connection:
        taken = connection.SimpleQueue(settings.queue).get(timeout=5)
        assert taken.decode()[:2] == [[job.id], {}]
        taken.ack()
    assert waiting_messages(celery) == 0


def test_publishing_takes_the_job_out_of_the_outbox(celery: Celery, store: JobStore) -> None:
    job = submit(store)
    enqueue(celery, store, job.id)
    assert store.published_jobs() == 1
    store.claim(job.id, "worker-1")
    assert store.published_jobs() == 0


def test_two_namespaces_share_a_broker_without_meeting(celery: Celery, settings: SharedSettings) -> None:
    other = make_celery(settings, "other-" + Keys().namespace)
    other.send_task(TASK_NAME, args=["job-1"])
    assert waiting_messages(celery) == 0
    other.close()


def test_a_broker_that_is_away_is_told_in_one_sentence(tmp_path: Path) -> None:
    with valkey_server(tmp_path) as server:
        settings = SharedSettings(redis_url=server.url)
        store, celery = JobStore(settings), make_celery(settings)
        job = submit(store)
        enqueue(celery, store, job.id)
    with pytest.raises(StoreUnavailable, match="The job store does not answer"):
        enqueue(celery, store, job.id)
    with pytest.raises(StoreUnavailable, match="The job store does not answer"):
        store.get(job.id)
    celery.close()
    store.close()
