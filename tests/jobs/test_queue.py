"""What travels through Celery, and what happens when the broker is away."""

import json
from pathlib import Path

import pytest
import redis
from celery import Celery
from kombu.transport.redis import Channel

from jobs.counters import Counters
from jobs.errors import StoreUnavailable
from jobs.keys import Keys
from jobs.queue import STEPS, TASK_NAME, enqueue, make_celery, waiting_messages
from jobs.schema import Priority
from jobs.settings import SharedSettings
from jobs.store import JobStore
from tests.jobs.samples import request, running, submit, wait_until
from tests.servers import valkey_server


def _messages(namespace: str, settings: SharedSettings, priority: Priority) -> str:
    """Where Redis holds the messages of one priority."""
    return Keys(namespace).broker_prefix + settings.queue + f"{Channel.sep}{STEPS[priority]}"


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
        taken = connection.SimpleQueue(settings.queue).get(timeout=60)
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
    assert _taken(celery, settings, len(jobs)) == expected


def _taken(celery: Celery, settings: SharedSettings, count: int) -> list[str]:
    """The ids in so many messages, as a worker gets them."""
    with celery.connection_for_read() as connection:
        waiting = connection.SimpleQueue(settings.queue)
        taken = [waiting.get(timeout=60) for _ in range(count)]
        for message in taken:
            message.ack()
    return [message.decode()[0][0] for message in taken]


@pytest.mark.parametrize("lost", ["released", "lease ended"])
def test_a_job_that_was_given_back_is_the_next_of_its_priority(
    celery: Celery, hasty: JobStore, settings: SharedSettings, lost: str
) -> None:
    given_back = [running(hasty) for _ in range(2)]
    priorities: list[Priority] = ["high", "normal", "low"]
    others = [submit(hasty, request(priority=priority)) for priority in priorities]
    for job in others:
        enqueue(celery, hasty, job.id)
    for job in given_back:
        if lost == "released":
            hasty.release(job.id, 1, counts=False)
        else:
            wait_until(lambda job=job: hasty.reclaim(job.id))  # type: ignore[misc]
        enqueue(celery, hasty, job.id)
    expected = [others[0].id, *(job.id for job in given_back), others[1].id, others[2].id]
    assert [hasty.get(job_id).queue_position for job_id in expected] == [0, 1, 2, 3, 4]
    assert _taken(celery, settings, len(expected)) == expected
    waits = Counters(hasty.keys, settings.redis_url)
    before = waits.read().queue_waits().sum_seconds
    hasty.claim(given_back[0].id, "worker-2")
    assert 0 <= waits.read().queue_waits().sum_seconds - before < 600
    waits.close()


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
