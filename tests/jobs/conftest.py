"""A job store in a namespace of its own for every test, on the test process's Valkey."""

import uuid
from collections.abc import Callable, Iterator

import pytest
from celery import Celery

from jobs.queue import make_celery
from jobs.settings import SharedSettings
from jobs.store import JobStore
from tests.servers import RedisServer

StoreFactory = Callable[..., JobStore]


@pytest.fixture
def settings(valkey: RedisServer) -> SharedSettings:
    return SharedSettings(redis_url=valkey.url)


@pytest.fixture
def namespace() -> str:
    return f"test-{uuid.uuid4().hex}"


@pytest.fixture
def store_with(valkey: RedisServer, namespace: str) -> Iterator[StoreFactory]:
    """Stores with other settings, all on the same records."""
    stores: list[JobStore] = []

    def make(**settings: object) -> JobStore:
        stores.append(JobStore(SharedSettings.model_validate({"redis_url": valkey.url, **settings}), namespace))
        return stores[-1]

    yield make
    for store in stores:
        store.close()


@pytest.fixture
def store(store_with: StoreFactory) -> JobStore:
    return store_with()


@pytest.fixture
def hasty(store_with: StoreFactory) -> JobStore:
    """Leases that end almost at once."""
    return store_with(lease_seconds=0.05, lease_renew_seconds=0.01)


@pytest.fixture
def celery(settings: SharedSettings, namespace: str) -> Iterator[Celery]:
    app = make_celery(settings, namespace)
    yield app
    app.close()
