"""Trials count as jobs of the key that their search came with: while they wait, while they run, and by their bytes."""

from collections.abc import Callable
from typing import Any

import pytest
import redis
from starlette.testclient import TestClient

from jobs.errors import NotClaimable, QuotaExceeded
from jobs.queue import make_celery
from jobs.quotas import Quota
from jobs.reconcile import reconcile_once
from jobs.schema import Status
from jobs.search_space import Name
from jobs.searches import NewTrial, Searches, Step
from jobs.store import JobStore
from service.api_keys import ApiKey
from service.app import create_app
from service.settings import ServiceSettings
from tests.jobs.samples import PLAN, request
from tests.service.keys import api_key, sent_by
from tests.tuning.played import Played
from tests.tuning.samples import Body
from worker.searching import trial_request

Limited = Callable[..., Played]


@pytest.fixture
def limited(settings: ServiceSettings, store: JobStore, searches: Searches, body: Body) -> Limited:
    """Searches of ada's under given quotas, sent over HTTP; no service runs any more when they are played."""

    def submit(changes: Body, **quotas: int) -> Played:
        key = api_key("ada", source=["file:///"], data=["file:///"]) | {"quotas": quotas}
        app = create_app(settings.model_copy(update={"api_keys": (ApiKey.model_validate(key),)}))
        with TestClient(app, "http://127.0.0.1", client=("127.0.0.1", 50_000)) as client:
            answer = client.post("/tune", json=body | changes, headers=sent_by("ada"))
        if answer.status_code == 429:
            raise QuotaExceeded("queued", int(answer.headers["Retry-After"]))
        assert answer.status_code == 202, answer.text
        return Played(store, searches, answer.json()["id"])

    return submit


def load_of(store: JobStore, settings: ServiceSettings) -> dict[str, int]:
    with redis.Redis.from_url(settings.redis_url, decode_responses=True) as client:
        found: Any = client.hgetall(store.keys.load("ada"))
    return {name: int(value) for name, value in found.items()}


def grow(store: JobStore, quota: Quota) -> str:
    job, _ = store.create(request(), PLAN, "ada", quota=quota)
    return job.id


def test_trials_that_wait(limited: Limited, store: JobStore, settings: ServiceSettings) -> None:
    quota = Quota(queued=2)
    search = limited({"trials": 4, "parallel": 3}, queued=2)
    search.step()
    assert len(search.live()) == 2
    with pytest.raises(QuotaExceeded):
        grow(store, quota)
    with pytest.raises(QuotaExceeded):
        limited({}, queued=2)
    search.store.claim(search.begun[0], "worker")
    assert load_of(store, settings)["queued"] == 1
    other = grow(store, quota)
    search.step()
    assert len(search.live()) == 2
    store.request_cancel(other)
    search.step()
    assert len(search.live()) == 3
    assert store.get(search.search_id).status is Status.RUNNING


def test_a_search_without_room_is_looked_at_again(limited: Limited, store: JobStore, settings: ServiceSettings) -> None:
    search, quota = limited({"trials": 1}, queued=1), Quota(queued=1)
    with redis.Redis.from_url(settings.redis_url, decode_responses=True) as client:
        store.request_cancel(grow(store, Quota()))
        other = grow(store, Quota())
        search.step()
        assert search.begun == []
        with pytest.raises(QuotaExceeded):
            grow(store, quota)
        assert search.search_id in client.zrange(store.keys.outbox, 0, -1)
        store.request_cancel(other)
        client.zadd(store.keys.outbox, {search.search_id: 0})
        celery = make_celery(settings)
        assert reconcile_once(store, celery).published >= 1
        celery.close()
        # Should its message get lost, it is missed.
        assert search.search_id in client.zrange(store.keys.published, 0, -1)
        search.step()
        assert len(search.begun) == 1
        assert search.search_id not in client.zrange(store.keys.published, 0, -1)


def test_a_job_that_comes_between_look_and_step(
    limited: Limited, store: JobStore, searches: Searches, settings: ServiceSettings
) -> None:
    search = limited({"trials": 1}, queued=1)
    seen = searches.see(search.search_id)
    assert seen.room == 1
    grow(store, Quota())
    point: dict[Name, float] = {"learning_rate": 0.01}
    trial = NewTrial(0, point, trial_request(search.search(), point))
    assert searches.commit(seen, Step(trials=[trial])) is None
    assert searches.see(search.search_id).room == 0
    assert load_of(store, settings)["queued"] == 2


def test_trials_that_run(limited: Limited, store: JobStore, settings: ServiceSettings) -> None:
    quota = Quota(running=1)
    search = limited({"trials": 3, "parallel": 2}, running=1)
    search.step()
    first, second = search.begun
    growth = grow(store, quota)
    attempt = store.claim(first, "worker").attempt
    for job_id in (second, growth):
        with pytest.raises(NotClaimable) as refused:
            store.claim(job_id, "worker")
        assert refused.value.reason == "held"
    assert load_of(store, settings)["running"] == 1
    store.finish(first, attempt, None)
    assert store.claim(growth, "worker").attempt == 1
    with pytest.raises(NotClaimable):
        store.claim(second, "worker")


def test_bytes_of_the_proxies(limited: Limited, store: JobStore, settings: ServiceSettings) -> None:
    search = limited({"trials": 3, "parallel": 2})
    proxy = search.search().plan.proxy.weight_bytes
    assert load_of(store, settings)["bytes"] == 2 * proxy
    with pytest.raises(QuotaExceeded):
        limited({"trials": 3, "parallel": 2}, bytes=4 * proxy - 1)
    limited({"trials": 1, "parallel": 2}, bytes=4 * proxy - 1)
    assert load_of(store, settings)["bytes"] == 3 * proxy


def test_nothing_counts_once_all_has_ended(limited: Limited, store: JobStore, settings: ServiceSettings) -> None:
    search = limited({"trials": 3, "parallel": 2}, queued=2, running=1, bytes=10**9)
    search.to_the_end()
    cancelled = limited({"trials": 3, "parallel": 2}, queued=2, running=1, bytes=10**9)
    cancelled.step()
    attempt = store.claim(cancelled.begun[0], "worker").attempt
    store.request_cancel(cancelled.search_id)
    assert store.get(cancelled.search_id).status is Status.RUNNING
    store.finish(cancelled.begun[0], attempt, None)
    assert load_of(store, settings) == {}
