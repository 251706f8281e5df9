"""One service for all cases, which it must outlive; and a tiny Llama."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import redis
from starlette.testclient import TestClient

from jobs.store import JobStore
from service.app import create_app
from service.settings import ServiceSettings
from tests.servers import RedisServer
from tests.tiny import tiny_llama

DATABASE = 6


@pytest.fixture(scope="module")
def settings(valkey: RedisServer) -> ServiceSettings:
    url = f"{valkey.url.removesuffix('/0')}/{DATABASE}"
    with redis.Redis.from_url(url) as client:
        client.flushdb()
    return ServiceSettings(redis_url=url)


@pytest.fixture(scope="module")
def client(settings: ServiceSettings) -> Iterator[TestClient]:
    app = create_app(settings)
    with TestClient(app, "http://127.0.0.1", raise_server_exceptions=False, client=("127.0.0.1", 50_000)) as client:
        yield client


@pytest.fixture(scope="module")
def store(settings: ServiceSettings) -> Iterator[JobStore]:
    store = JobStore(settings)
    yield store
    store.close()


@pytest.fixture(scope="session")
def llama(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny Llama, 32 wide, 2 layers, 4 heads; not to be changed."""
    return tiny_llama(tmp_path_factory.mktemp("hostile") / "llama")


@pytest.fixture
def output(tmp_path: Path) -> Path:
    """A folder that does not exist yet."""
    return tmp_path / "grown"
