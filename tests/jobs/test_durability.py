"""Valkey is killed with SIGKILL and started again on what it had written."""

import os
import signal
import time
from pathlib import Path

import redis

from jobs.queue import make_celery, waiting_messages
from jobs.reconcile import reconcile_once
from jobs.schema import EventKind, Status
from jobs.settings import SharedSettings
from jobs.store import JobStore
from tests.jobs.samples import PLAN, RESULT, request, running, submit, wait_until
from tests.servers import RedisServer, valkey_server


def _kill(server: RedisServer) -> None:
    os.kill(server.pid, signal.SIGKILL)


def test_an_answered_submission_survives_and_is_published(tmp_path: Path) -> None:
    with valkey_server(tmp_path) as server:
        settings = SharedSettings(redis_url=server.url)
        store, celery = JobStore(settings), make_celery(settings)
        wanted = [request() for _ in range(20)]
        jobs = [store.create(body, PLAN, "ada", f"key-{n}")[0] for n, body in enumerate(wanted)]
        _kill(server)
    with valkey_server(tmp_path, port=server.port):
        assert [store.get(job.id) for job in jobs] == jobs
        assert [store.create(body, PLAN, "ada", f"key-{n}") for n, body in enumerate(wanted)] == [
            (job, True) for job in jobs
        ]
        published = 0
        while published < 20:
            published += reconcile_once(store, celery).published
        assert waiting_messages(celery) == 20
        celery.close()
        store.close()


def test_an_attempt_goes_on_after_an_outage_longer_than_its_lease(tmp_path: Path) -> None:
    with valkey_server(tmp_path) as server:
        settings = SharedSettings(redis_url=server.url, lease_seconds=6, lease_renew_seconds=1)
        store = JobStore(settings)
        renewing, silent = running(store), running(store)
        store.append_event(renewing.id, 1, EventKind.LOG, {"line": "before"})
        _kill(server)
    time.sleep(6.1)
    with valkey_server(tmp_path, port=server.port):
        assert len(store.expired_leases()) == 2
        assert not store.reclaim(renewing.id)
        assert store.renew(renewing.id, 1) is False
        wait_until(lambda: store.reclaim(silent.id))
        assert store.get(silent.id).status == Status.QUEUED
        assert store.finish(renewing.id, 1, RESULT).status == Status.SUCCEEDED
        assert store.events(renewing.id).events[2].data == {"line": "before"}
        store.close()


def test_a_redis_that_stood_still_costs_nobody_an_attempt(tmp_path: Path) -> None:
    """Stopped for longer than a lease, so that no worker could renew; one that is gone is noticed a lease later."""
    with valkey_server(tmp_path) as server:
        store = JobStore(SharedSettings(redis_url=server.url, lease_seconds=5, lease_renew_seconds=0.5))
        renewing, silent = running(store), running(store)
        wait_until(lambda: store.renew(renewing.id, 1) is False)
        store.renew(silent.id, 1)
        assert store.expired_leases() == []
        os.kill(server.pid, signal.SIGSTOP)
        time.sleep(5.5)
        os.kill(server.pid, signal.SIGCONT)
        assert store.expired_leases() == []
        assert not store.reclaim(renewing.id)

        def noticed() -> bool:
            assert store.renew(renewing.id, 1) is False
            return bool(store.expired_leases())

        wait_until(noticed)
        assert store.expired_leases() == [silent.id]
        assert store.reclaim(silent.id)
        store.close()


def test_a_safe_redis_is_ready_without_a_warning(store: JobStore) -> None:
    assert store.ready() == []


def test_a_redis_that_may_lose_records_is_ready_with_warnings(tmp_path: Path) -> None:
    with valkey_server(tmp_path, aof=False) as server:
        with redis.Redis.from_url(server.url) as client:
            client.config_set("maxmemory-policy", "allkeys-lru")
        store = JobStore(SharedSettings(redis_url=server.url))
        assert store.ready() == [
            "Redis has appendonly no; records are safe with appendonly yes.",
            "Redis has appendfsync everysec; records are safe with appendfsync always.",
            "Redis has maxmemory-policy allkeys-lru; records are safe with maxmemory-policy noeviction.",
        ]
        submit(store)
        store.close()


def test_a_redis_that_hides_its_configuration_is_ready_with_a_warning(tmp_path: Path) -> None:
    with valkey_server(tmp_path) as server:
        with redis.Redis.from_url(server.url) as client:
            client.acl_setuser("default", enabled=True, commands=["-config"])
        store = JobStore(SharedSettings(redis_url=server.url))
        [warning] = store.ready()
        assert warning.startswith("Redis does not show its configuration")
        store.close()
