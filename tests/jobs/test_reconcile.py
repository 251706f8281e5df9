"""What was lost between record, broker and worker comes back, and nothing piles up."""

import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from celery import Celery

from jobs import reconcile
from jobs import store as store_module
from jobs.queue import enqueue, make_celery, waiting_messages
from jobs.reconcile import Counts, Reconciler, reconcile_once
from jobs.schema import Status
from jobs.settings import SharedSettings
from jobs.store import JobStore
from tests.jobs.samples import running, submit, wait_until
from tests.servers import valkey_server

NOTHING = Counts(reclaimed=0, republished=0, published=0, forgotten=0)


def _lose_messages(celery: Celery) -> None:
    with celery.connection_for_write() as connection:
        connection.default_channel.queue_purge(celery.conf.task_default_queue)


def test_a_submission_that_was_never_published_is(store: JobStore, celery: Celery) -> None:
    submit(store)
    assert reconcile_once(store, celery) == NOTHING
    wait_until(lambda: reconcile_once(store, celery).published == 1)
    assert waiting_messages(celery) == 1
    assert reconcile_once(store, celery) == NOTHING


def test_a_job_that_came_back_is_published_at_once(store: JobStore, celery: Celery) -> None:
    store.release(running(store).id, 1, counts=False)
    assert reconcile_once(store, celery).published == 1
    assert waiting_messages(celery) == 1


def test_a_job_whose_worker_went_silent_runs_again(hasty: JobStore, celery: Celery) -> None:
    job = running(hasty)
    wait_until(lambda: reconcile_once(hasty, celery).reclaimed == 1)
    assert waiting_messages(celery) == 1
    assert hasty.claim(job.id, "worker-2").attempt == 2


def test_a_lost_message_is_sent_again(store: JobStore, celery: Celery) -> None:
    job = submit(store)
    enqueue(celery, store, job.id)
    _lose_messages(celery)
    assert reconcile_once(store, celery) == NOTHING
    assert reconcile_once(store, celery, silent_seconds=0) == Counts(0, 1, 1, 0)
    assert waiting_messages(celery) == 1


def test_a_lost_message_is_no_longer_counted_on(store: JobStore, celery: Celery) -> None:
    job = submit(store)
    enqueue(celery, store, job.id)
    assert store.republish(1, silent_seconds=0) == [job.id]
    assert store.published_jobs() == 0
    assert store.take_due() == [job.id]


def test_jobs_that_only_wait_long_get_no_second_message(store: JobStore, celery: Celery) -> None:
    for _ in range(5):
        enqueue(celery, store, submit(store).id)
    for _ in range(3):
        assert reconcile_once(store, celery, silent_seconds=0) == NOTHING
    assert waiting_messages(celery) == 5


def test_claimed_and_ended_jobs_are_never_sent_again(store: JobStore, celery: Celery) -> None:
    claimed, cancelled = submit(store), submit(store)
    for job in (claimed, cancelled):
        enqueue(celery, store, job.id)
    _lose_messages(celery)
    store.claim(claimed.id, "worker-1")
    store.request_cancel(cancelled.id)
    assert reconcile_once(store, celery, silent_seconds=0) == NOTHING


def test_many_reconcilers_at_once_publish_each_job_once(
    store: JobStore, celery: Celery, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Whoever takes longer to publish than that is taken for dead, and followed by another; here nobody is.
    monkeypatch.setattr("jobs.store.PUBLISH_GRACE_SECONDS", 600)
    for _ in range(40):
        store.release(running(store).id, 1, counts=False)
    with ThreadPoolExecutor(6) as threads:
        passes = list(threads.map(lambda _: reconcile_once(store, celery), range(6)))
    assert sum(counts.published for counts in passes) == 40
    assert waiting_messages(celery) == 40


def test_a_reconciler_that_died_before_it_published_is_followed_by_another(store: JobStore, celery: Celery) -> None:
    job = running(store)
    store.release(job.id, 1, counts=False)
    assert store.take_due() == [job.id]
    assert reconcile_once(store, celery).published == 0
    wait_until(lambda: reconcile_once(store, celery).published == 1)


def test_a_rest_does_not_keep_the_thread_from_leaving(
    store: JobStore, celery: Celery, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store_module, "PUBLISH_GRACE_SECONDS", 0)
    monkeypatch.setattr(reconcile, "REST", 1e9)
    monkeypatch.setattr(reconcile, "BATCH", 2)
    for _ in range(4):
        submit(store)
    reconciler = Reconciler(store, celery, interval_seconds=0.01)
    reconciler.start()
    wait_until(lambda: store.published_jobs() == 2)
    reconciler.stop()
    assert store.published_jobs() == 2


def test_the_thread_goes_on_after_an_outage(tmp_path: Path) -> None:
    with valkey_server(tmp_path) as server:
        settings = SharedSettings(redis_url=server.url)
        store, celery = JobStore(settings), make_celery(settings)
        reconciler = Reconciler(store, celery, interval_seconds=0.05)
        reconciler.start()
        job = submit(store)
    threading.Event().wait(0.5)
    with valkey_server(tmp_path, port=server.port):
        wait_until(lambda: store.published_jobs() == 1, 30)
        assert store.get(job.id).status == Status.QUEUED
        reconciler.stop()
        assert waiting_messages(celery) == 1
        celery.close()
        store.close()
