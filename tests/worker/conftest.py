"""Farms over each kind of store, each with a Valkey and a prefix of its own, and tiny checkpoints to grow."""

import secrets
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import pytest

from storage import Uri
from tests.servers import RedisServer, S3Server, valkey_server
from tests.storage.proxy import Proxy, proxy_to
from tests.tiny import tiny_bert, tiny_gpt2, tiny_llama
from tests.worker.farm import Farm, farm

MakeFarm = Callable[..., Farm]


@pytest.fixture
def redis(tmp_path: Path) -> Iterator[RedisServer]:
    with valkey_server(tmp_path / "valkey") as server:
        yield server


@pytest.fixture(scope="session")
def llama(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_llama(tmp_path_factory.mktemp("llama") / "source")


@pytest.fixture(scope="session")
def gpt2(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_gpt2(tmp_path_factory.mktemp("gpt2") / "source")


@pytest.fixture(scope="session")
def bert(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_bert(tmp_path_factory.mktemp("bert") / "source")


def s3_root(server: S3Server) -> Uri:
    return Uri("s3", server.bucket, f"farm-{secrets.token_hex(8)}")


@pytest.fixture
def make_farm(redis: RedisServer, tmp_path: Path) -> Iterator[MakeFarm]:
    """Farms over files, or over a given S3 server, with given settings."""
    with ExitStack() as stack:

        def make(s3: S3Server | None = None, **settings: object) -> Farm:
            root = s3_root(s3) if s3 is not None else Uri.parse(f"file://{tmp_path}/store")
            return stack.enter_context(farm(redis, root, tmp_path, s3, **settings))

        yield make


@pytest.fixture(params=["file", "moto", "rclone"])
def any_farm(request: pytest.FixtureRequest, make_farm: MakeFarm) -> Farm:
    return make_farm(None if request.param == "file" else request.getfixturevalue(request.param))


@pytest.fixture(params=["file", "moto"])
def conditional_farm(request: pytest.FixtureRequest, make_farm: MakeFarm) -> Farm:
    """Over stores that keep conditional puts."""
    return make_farm(None if request.param == "file" else request.getfixturevalue(request.param))


@pytest.fixture
def proxy(moto: S3Server) -> Iterator[Proxy]:
    with proxy_to(moto.endpoint_url) as between:
        yield between


@pytest.fixture
def proxied(moto: S3Server, proxy: Proxy) -> S3Server:
    """moto, with the proxy between."""
    return replace(moto, endpoint_url=proxy.endpoint_url)
