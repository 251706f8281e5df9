"""What travels through Celery, and what happens when the broker is away."""

import json
from pathlib import Path

import pytest
import redis
from celery import Celery
from kombu.transport.redis import Channel

from jobs.errors import StoreUnavailable
from jobs.keys import Keys
from jobs.queue import STEPS, TASK_NAME, enqueue, make_celery, waiting_messages
from jobs.schema import Priority
from jobs.settings import SharedSettings
from jobs.store import JobStore
from tests.jobs.samples import request, submit
from tests.servers import valkey_server


def _messages(namespace: str, settings: SharedSettings, priority: Priority) -> str:
    """Where Redis holds the messages of one priority; the highest has the queue's plain name."""
    step = STEPS[priority]
    return Keys(namespace).broker_prefix + settings.queue + (f"{Channel.sep}{step}" if step else "")


def test_a_message_holds_the_jobs_id_and_nothing_else(
    celery: Celery, store: JobStore, settings: SharedSettings, namespace: str
) -> None:
    job = submit(store)
    enqueue(celery, store, job.id)
    assert waiting_messages(celery) == 1
    with redis.Redis.from_url(settings.redis_url) as client:
        [message] = client.lrange(_messages(namespace, settings, "normal"), 0, -1)
    headers = json.loads(message)["headers"]
    assert headers["task"] == TASK_NAME
    assert headers["argsrepr"] == f"['{job.id}']"
    with celery.connection_for_read() as connection:
        taken = connection.SimpleQueue(settings.queue).get(timeout=5)
        assert taken.decode()[:2] == [[job.id], {}]
        taken.ack()
    assert waiting_messages(celery) == 0


def test_higher_priorities_come_first_whenever_they_were_submitted(
    celery: Celery, store: JobStore, settings: SharedSettings
) -> None:
    order: list[Priority] = ["low", "normal", "high", "low", "high"]
    jobs = [submit(store, request(priority=priority)) for priority in order]
    for job in jobs:
        enqueue(celery, store, job.id)
    assert waiting_messages(celery) == len(jobs)
    expected = [jobs[2].id, jobs[4].id, jobs[1].id, jobs[0].id, jobs[3].id]
    assert [store.get(job_id).queue_position for job_id in expected] == [0, 1, 2, 3, 4]
    with celery.connection_for_read() as connection:
        waiting = connection.SimpleQueue(settings.queue)
        taken = [waiting.get(timeout=5) for _ in jobs]
        assert [message.decode()[0][0] for message in taken] == expected
        for message in taken:
            message.ack()


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
