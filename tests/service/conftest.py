"""The real app on the test process's Valkey, in a database that each test finds empty."""

import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
import redis
from starlette.testclient import TestClient

from jobs.store import JobStore
from service.app import create_app
from service.settings import ServiceSettings
from tests.servers import RedisServer
from tests.servers import free_port as pick_free_port
from tests.tiny import tiny_llama

DATABASE = 5

ClientFactory = Callable[..., TestClient]
Body = dict[str, Any]


@pytest.fixture
def redis_url(valkey: RedisServer) -> str:
    url = f"{valkey.url.removesuffix('/0')}/{DATABASE}"
    with redis.Redis.from_url(url) as client:
        client.flushdb()
    return url


@pytest.fixture
def settings(redis_url: str) -> ServiceSettings:
    return ServiceSettings(redis_url=redis_url)


@pytest.fixture
def store(settings: ServiceSettings) -> Iterator[JobStore]:
    """What a worker would act on the records with."""
    store = JobStore(settings)
    yield store
    store.close()


@pytest.fixture
def client_with(redis_url: str) -> Iterator[ClientFactory]:
    """Clients of the app with other settings; by default they are on the loopback."""
    with ExitStack() as running:

        def make(peer: str = "127.0.0.1", host: str = "127.0.0.1", **settings: Any) -> TestClient:
            app = create_app(ServiceSettings(**{"redis_url": redis_url, **settings}))
            client = TestClient(app, f"http://{host}", raise_server_exceptions=False, client=(peer, 50_000))
            return running.enter_context(client)

        yield make


@pytest.fixture
def client(client_with: ClientFactory) -> TestClient:
    return client_with()


@pytest.fixture(scope="session")
def llama(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny Llama, 32 wide, 2 layers, 4 heads; not to be changed."""
    return tiny_llama(tmp_path_factory.mktemp("checkpoints") / "llama")


@pytest.fixture
def output(tmp_path: Path) -> Path:
    """A folder that does not exist yet."""
    return tmp_path / "grown"


@pytest.fixture
def body(llama: Path, output: Path) -> Body:
    """A request that is accepted."""
    return {
        "source": f"file://{llama}",
        "output": f"file://{output}",
        "target": {"hidden_size": 64, "num_hidden_layers": 4},
        "method": "hypercloning",
        "labels": {"test": uuid.uuid4().hex},
    }


@pytest.fixture
def free_port() -> int:
    """Nothing listens there."""
    return pick_free_port()
