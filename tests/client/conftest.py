"""One API per test process, a tiny source, and both clients of the SDK."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from client import GrowClient
from client.cli import app
from jobs.settings import SharedSettings
from jobs.store import JobStore
from tests.client.api import api as running_api
from tests.client.blocking import BlockingClient
from tests.client.gateway import Gateway
from tests.servers import RedisServer, free_port
from tests.tiny import tiny_llama

DATABASE = 6
Body = dict[str, Any]
Connect = Callable[..., GrowClient]
Grow = Callable[..., Result]


@pytest.fixture(scope="session")
def redis_url(valkey: RedisServer) -> str:
    return f"{valkey.url.removesuffix('/0')}/{DATABASE}"


@pytest.fixture(scope="session")
def api(redis_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of a service without a worker."""
    with running_api(redis_url, free_port(), tmp_path_factory.mktemp("api") / "log") as url:
        yield url


@pytest.fixture
def grow(api: str) -> Grow:
    """Runs `grow` against the service."""

    def run(*arguments: str, url: str = api, stdin: str | None = None, width: int = 200) -> Result:
        return CliRunner(env={"GROW_URL": url, "COLUMNS": str(width)}).invoke(app, arguments, input=stdin)

    return run


@pytest.fixture
def gateway(api: str) -> Iterator[Gateway]:
    with Gateway(api).running() as gateway:
        yield gateway


@pytest.fixture
def store(redis_url: str) -> Iterator[JobStore]:
    """What a worker would act on the records with."""
    store = JobStore(SharedSettings(redis_url=redis_url))
    yield store
    store.close()


@pytest.fixture(params=["plain", "asyncio"])
def connect(request: pytest.FixtureRequest) -> Iterator[Connect]:
    """Makes a client of the SDK, in each of its two kinds."""
    kind: Any = GrowClient if request.param == "plain" else BlockingClient
    with ExitStack() as made:

        def make(*arguments: Any, **options: Any) -> GrowClient:
            client: GrowClient = kind(*arguments, **options)
            made.callback(client.close)
            return client

        yield make


@pytest.fixture
def client(connect: Connect, api: str) -> GrowClient:
    return connect(api)


@pytest.fixture(scope="session")
def llama(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny Llama, 32 wide, 2 layers, 4 heads; not to be changed."""
    return tiny_llama(tmp_path_factory.mktemp("checkpoints") / "llama")


@pytest.fixture
def new_body(llama: Path, tmp_path: Path) -> Callable[..., Body]:
    """Requests that are accepted, each with an output of its own."""
    numbers = count()

    def make(**fields: Any) -> Body:
        return {
            "source": f"file://{llama}",
            "output": f"file://{tmp_path}/grown-{next(numbers)}",
            "target": {"hidden_size": 64},
            "method": "hypercloning",
        } | fields

    return make


@pytest.fixture
def body(new_body: Callable[..., Body]) -> Body:
    return new_body()
