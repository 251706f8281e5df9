"""`grow doctor` tells what is well, and what to do where it is not; and the shell completes commands."""

import json
import os
import subprocess
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
from typer.testing import Result

from client import GrowClient
from client.exits import Exit
from tests.client.api import api as running_api
from tests.client.conftest import Body, Grow
from tests.client.grow_up import GROW
from tests.servers import RedisServer, free_port, valkey_server
from tests.service.keys import api_key


def _found(result: Result) -> dict[str, dict[str, Any]]:
    return {line["name"]: line for line in map(json.loads, result.stdout.splitlines())}


def _unwell(found: dict[str, dict[str, Any]]) -> dict[str, str]:
    """Names and states; each of them says what to do."""
    assert all(line["hint"] for line in found.values() if line["state"] != "ok")
    return {name: line["state"] for name, line in found.items() if line["state"] != "ok"}


@pytest.fixture(scope="module")
def frail_redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    with valkey_server(tmp_path_factory.mktemp("frail"), aof=False) as server:
        yield server


def test_all_is_well(grow: Grow, body: Body, tmp_path: Path) -> None:
    request = tmp_path / "request.json"
    request.write_text(json.dumps(body))
    result = grow("doctor", str(request), "--json")
    found = _found(result)
    assert result.exit_code == 0, result.output
    assert list(found) == ["service", "version", "job store", "key", "request", "packages", "torch"]
    assert {name for name, state in _unwell(found).items() if state == "failed"} == set()
    assert version("model-growth") in found["version"]["told"]
    assert version("torch").partition("+")[0] in found["torch"]["told"]
    shown = grow("doctor")
    assert "client and service are both" in shown.output
    assert "request" not in shown.output


def test_nobody_answers(grow: Grow) -> None:
    result = grow("doctor", "--json", url=f"http://127.0.0.1:{free_port()}")
    assert result.exit_code == Exit.UNREACHABLE
    assert _unwell(_found(result))["service"] == "failed"
    assert list(_found(result)) == ["service", "packages", "torch"]


def test_places_that_can_not_be(grow: Grow, body: Body, tmp_path: Path) -> None:
    request = tmp_path / "request.json"
    request.write_text(json.dumps(body | {"source": f"file://{tmp_path}/nothing"}))
    result = grow("doctor", str(request), "--json")
    assert result.exit_code == Exit.BAD_REQUEST
    assert _unwell(_found(result))["request"] == "failed"
    assert "nothing" in _found(result)["request"]["told"]


def test_a_key_that_is_none_and_a_store_that_forgets(grow: Grow, frail_redis: RedisServer, tmp_path: Path) -> None:
    keys = json.dumps([api_key("ada")], default=str)
    with running_api(frail_redis.url, free_port(), tmp_path / "log", GROW_API_KEYS=keys) as url:
        result = grow("doctor", "--json", "--api-key", "wrong", url=url)
    assert result.exit_code == Exit.BAD_REQUEST
    assert _unwell(_found(result)) == {"job store": "warning", "key": "failed"}


def test_the_sdk_tells_version_and_readiness(client: GrowClient) -> None:
    assert client.service_version() == version("model-growth")
    assert isinstance(client.readiness().warnings, list)


def _completed(typed: str, url: str) -> list[str]:
    words = {"_GROW_COMPLETE": "complete_bash", "COMP_WORDS": typed, "COMP_CWORD": str(len(typed.split()) - 1)}
    done = subprocess.run([GROW], env={**os.environ, **words, "GROW_URL": url}, capture_output=True, text=True)
    assert done.stderr == ""
    return done.stdout.split()


@pytest.mark.parametrize(
    ("typed", "offered"),
    [
        ("grow sub", "submit"),
        ("grow submit --dat", "--data-option"),
        ("grow submit --method hyp", "hypercloning"),
        ("grow list --method lem", "lemon"),
    ],
)
def test_the_shell_completes_commands_options_and_methods(api: str, typed: str, offered: str) -> None:
    assert offered in _completed(typed, api)


def test_the_shell_completes_jobs(grow: Grow, api: str, body: Body) -> None:
    job_id = json.loads(grow("submit", "-", "--json", stdin=json.dumps(body)).stdout)["id"]
    assert job_id in _completed("grow cancel job-", api)


@pytest.mark.parametrize("url", ["http://127.0.0.1:1", "nowhere"])
def test_the_shell_completes_nothing_where_no_service_answers(url: str) -> None:
    assert _completed("grow cancel job-", url) == []
