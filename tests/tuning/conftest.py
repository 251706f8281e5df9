"""Searches on the test process's Valkey, in a database that each test finds empty; submitted over HTTP."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import redis
from starlette.testclient import TestClient

from jobs.searches import Searches
from jobs.store import JobStore
from jobs.tuning import TuneJob
from service.app import create_app
from service.settings import ServiceSettings
from storage import Storage, Uri
from tests.servers import RedisServer
from tests.tuning.samples import Body, search_body, token_ids

DATABASE = 7
Submit = Callable[..., TuneJob]


@pytest.fixture
def settings(valkey: RedisServer) -> ServiceSettings:
    url = f"{valkey.url.removesuffix('/0')}/{DATABASE}"
    with redis.Redis.from_url(url) as client:
        client.flushdb()
    return ServiceSettings(redis_url=url)


@pytest.fixture
def store(settings: ServiceSettings) -> Iterator[JobStore]:
    store = JobStore(settings)
    yield store
    store.close()


@pytest.fixture
def searches(store: JobStore, settings: ServiceSettings) -> Iterator[Searches]:
    searches = Searches(store, settings)
    yield searches
    searches.close()


@pytest.fixture
def client(settings: ServiceSettings) -> Iterator[TestClient]:
    with TestClient(create_app(settings), "http://127.0.0.1", client=("127.0.0.1", 50_000)) as client:
        yield client


@pytest.fixture
def body(tmp_path: Path) -> Body:
    """A request that is accepted."""
    return search_body(token_ids(Storage(), Uri.parse(f"file://{tmp_path}/data/ids.npy"), tmp_path))


@pytest.fixture
def submit(client: TestClient, body: Body) -> Submit:
    """The search of that request with other fields."""

    def submit(**changes: Any) -> TuneJob:
        answer = client.post("/tune", json=body | changes)
        assert answer.status_code == 202, answer.text
        return TuneJob.model_validate(answer.json())

    return submit
