"""One browser, and one service with its worker, for all tests of the dashboard: they run in one test process."""

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright

from jobs.settings import SharedSettings
from jobs.store import JobStore
from tests.client.api import api as running_api
from tests.client.grow_up import grow_up
from tests.dashboard.browsing import WAIT_MS, Visit, launch, make_small, shoot, visit
from tests.dashboard.chromium import MISSING, find_chromium
from tests.dashboard.records import Records
from tests.dashboard.service import Service, filled_store
from tests.servers import RedisServer, S3Server, free_port
from tests.tiny import corpus, tiny_llama

DATABASE = 9
Visiting = Callable[..., Visit]
Shoot = Callable[..., None]


# Playwright keeps an event loop running as long as it is open, so it must not outlive these tests.
@pytest.fixture(scope="package")
def browser() -> Iterator[Browser]:
    executable = find_chromium()
    if executable is None:
        pytest.skip(MISSING)
    expect.set_options(timeout=WAIT_MS)
    with sync_playwright() as playwright:
        browser = launch(playwright, executable)
        yield browser
        browser.close()


@pytest.fixture(scope="session")
def service(moto: S3Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """A whole service, with models to grow and a text in its store."""
    folder = tmp_path_factory.mktemp("dashboard")
    filled_store(moto, folder)
    environment = {
        "GROW_S3_ENDPOINT_URL": moto.endpoint_url,
        "GROW_S3_ACCESS_KEY_ID": moto.access_key,
        "GROW_S3_SECRET_ACCESS_KEY": moto.secret_key,
        "GROW_S3_REGION": "us-east-1",
    }
    with grow_up(folder / "up", environment=environment) as running, Service(running.url) as service:
        yield service


@pytest.fixture(scope="session")
def redis_url(valkey: RedisServer) -> str:
    return f"{valkey.url.removesuffix('/0')}/{DATABASE}"


@pytest.fixture(scope="session")
def start_api(redis_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., str]]:
    """Starts a service without a worker, with given settings; tests act on its records as a worker would."""
    with ExitStack() as started:

        def start(**settings: str) -> str:
            log = tmp_path_factory.mktemp("api") / "log"
            return started.enter_context(running_api(redis_url, free_port(), log, **settings))

        yield start


@pytest.fixture(scope="session")
def records(
    start_api: Callable[..., str], redis_url: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Records]:
    models = tmp_path_factory.mktemp("models")
    tiny_llama(models / "llama")
    (models / "text.txt").write_text("\n".join(corpus(50)))
    with closing(JobStore(SharedSettings(redis_url=redis_url))) as store:
        yield Records(start_api(), store, models)


@pytest.fixture
def visiting(browser: Browser) -> Iterator[Visiting]:
    """Begins visits, each with nothing kept from others."""
    with ExitStack() as visits:

        def begin(url: str, **options: Any) -> Visit:
            return visits.enter_context(visit(browser, url, **options))

        yield begin


@pytest.fixture
def shot(tmp_path: Path) -> Shoot:
    """Takes a picture, for the docs where `SCREENSHOTS` names a folder."""
    asked = os.environ.get("SCREENSHOTS")

    def take(page: Page, name: str, **options: Any) -> None:
        path = Path(asked or tmp_path) / f"{name}.png"
        shoot(page, path, **options)
        if asked:
            make_small(path)

    return take
