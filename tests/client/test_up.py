"""`grow up`: a job from request to checkpoint, and nothing left behind however it ends."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from transformers import AutoModelForCausalLM

from client import GrowClient
from jobs.schema import Status
from tests.client.conftest import Body
from tests.client.grow_up import GROW, START_SECONDS, GrowUp, alive, below, command_of, grow_up, wait_until_gone
from tests.jobs.samples import wait_until
from tests.servers import RedisServer

STOPPED_WITHIN_SECONDS = 20.0
KILLED_WITHIN_SECONDS = 60.0

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="looks at /proc")


@pytest.fixture(scope="module")
def local(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GrowUp]:
    with grow_up(tmp_path_factory.mktemp("up"), "--verbose", "--json") as running:
        running.ready()
        yield running


def _grow(*arguments: str, url: str | None = None) -> subprocess.CompletedProcess[str]:
    place = ["--url", url] if url else []
    return subprocess.run([str(GROW), *arguments, *place], capture_output=True, text=True, timeout=120)


def test_request_becomes_a_checkpoint(local: GrowUp, body: Body, tmp_path: Path) -> None:
    request = tmp_path / "request.json"
    request.write_text(json.dumps(body))
    planned = json.loads(_grow("plan", str(request), "--json", url=local.url).stdout)
    submitted = _grow("submit", str(request), "--wait", "--json", url=local.url)
    assert submitted.returncode == 0, submitted.stdout + submitted.stderr
    job = json.loads(submitted.stdout)
    assert (job["status"], job["plan"]) == ("succeeded", planned)
    loaded: Any = AutoModelForCausalLM.from_pretrained(body["output"].removeprefix("file://"), output_loading_info=True)
    model, keys = loaded
    assert model.config.hidden_size == 64
    assert not any(keys.values())
    watched = _grow("watch", job["id"], url=local.url)
    assert watched.returncode == 0
    assert "expanding" in watched.stdout


def test_what_is_announced(local: GrowUp) -> None:
    ready = local.ready()
    assert json.loads(local.stdout) == ready
    assert ready["state_dir"] == str(local.state_dir)
    assert set(ready["pids"]) == {"redis", "worker-1", "api"}
    assert set(ready["pids"].values()) <= set(local.tree())


def test_logs_are_kept_and_shown(local: GrowUp) -> None:
    for name in ("redis", "worker-1", "api"):
        assert (local.state_dir / "logs" / f"{name}.log").stat().st_size > 0
        assert f"{name:9} │ " in local.stderr


def test_password_of_redis_is_on_no_command_line(local: GrowUp) -> None:
    commands = [Path(f"/proc/{pid}/cmdline").read_bytes() for pid in local.tree()]
    assert not [command for command in commands if b"requirepass" in command or b"redis://" in command]


def test_busy_port_is_one_sentence(local: GrowUp, tmp_path: Path) -> None:
    port = local.url.rpartition(":")[2]
    refused = _grow("up", "--port", port, "--state-dir", str(tmp_path))
    assert (refused.returncode, refused.stdout) == (1, "")
    first, hint = refused.stderr.splitlines()
    assert first == f"Error: Port {port} of 127.0.0.1 is in use by another program, perhaps by another `grow up`."
    assert "--port" in hint


def test_state_folder_in_use_is_one_sentence(local: GrowUp) -> None:
    refused = _grow("up", "--port", "0", "--state-dir", str(local.state_dir))
    assert (refused.returncode, refused.stdout) == (1, "")
    first, hint = refused.stderr.splitlines()
    process = f"`grow up` (process {local.process.pid})"
    assert first == f"Error: {process} already serves {local.state_dir} at {local.url}."
    assert "--state-dir" in hint


@pytest.mark.parametrize("arguments", [["--host", "192.0.2.1"], ["--state-dir", "/proc/none"]])
def test_impossible_place_is_one_sentence(tmp_path: Path, arguments: list[str]) -> None:
    refused = _grow("up", "--port", "0", "--state-dir", str(tmp_path), *arguments)
    assert refused.returncode == 1
    assert len(refused.stderr.splitlines()) == 2
    assert "Traceback" not in refused.stderr


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_one_signal_stops_everything(tmp_path: Path, body: Body, number: signal.Signals) -> None:
    with grow_up(tmp_path / "up") as running:
        with GrowClient(running.url) as client:
            _, child = _held_at_work(client, running, body)
        tree = running.tree()
        os.kill(child, signal.SIGCONT)
        exit_code, seconds = running.end(number)
        assert exit_code == 0, running.stderr
        assert seconds < STOPPED_WITHIN_SECONDS
        assert not alive(tree)


def test_signal_while_starting_stops_everything(tmp_path: Path) -> None:
    with grow_up(tmp_path / "up") as running:
        while not (running.state_dir / "logs" / "worker-1.log").exists():
            time.sleep(0.02)
        tree = running.tree()
        exit_code, _ = running.end(signal.SIGINT)
        assert exit_code == 0, running.stderr
        assert not alive(tree)


def test_job_outlives_a_kill_of_everything(tmp_path: Path, body: Body) -> None:
    with grow_up(tmp_path / "up") as running:
        with GrowClient(running.url) as client:
            job_id, _ = _held_at_work(client, running, body)
        tree = running.tree()
        running.end(signal.SIGKILL)
        wait_until_gone(tree, KILLED_WITHIN_SECONDS)
    with grow_up(tmp_path / "up") as again, GrowClient(again.url) as client:
        job = client.wait(job_id, timeout_seconds=180)
        assert (job.status, job.attempt) == (Status.SUCCEEDED, 2)
        assert again.end(signal.SIGINT)[0] == 0


@pytest.mark.parametrize("name", ["redis", "worker-1", "api"])
def test_loss_of_one_process_stops_the_rest(tmp_path: Path, name: str) -> None:
    with grow_up(tmp_path / "up") as running:
        pid = running.ready()["pids"][name]
        tree = running.tree()
        subprocess.run(["kill", "-KILL", str(pid)], check=True)
        assert running.process.wait(STOPPED_WITHIN_SECONDS) == 1
        assert f"Error: The process {name} ended by itself (signal SIGKILL)." in running.stderr
        assert f"{name}.log" in running.stderr
        assert "Traceback" not in running.stderr
        wait_until_gone(tree, KILLED_WITHIN_SECONDS)


def test_redis_of_the_environment_is_used(tmp_path: Path, valkey: RedisServer) -> None:
    environment = {"REDIS_URL": f"{valkey.url.removesuffix('/0')}/7"}
    with grow_up(tmp_path / "up", "--workers", "2", environment=environment) as running:
        assert set(running.ready()["pids"]) == {"worker-1", "worker-2", "api"}
        assert running.end(signal.SIGTERM)[0] == 0


def _held_at_work(client: GrowClient, running: GrowUp, body: Body) -> tuple[str, int]:
    """The id of a job that runs, and the worker's child that does it: it stands still, until SIGCONT."""
    worker = running.ready()["pids"]["worker-1"]
    wait_until(lambda: bool(_children(worker)), START_SECONDS)
    (child,) = _children(worker)
    # While it waits for work, so that the job is held before its first step, however quick it is.
    os.kill(child, signal.SIGSTOP)
    job_id = client.submit(body).id
    wait_until(lambda: client.job(job_id).status is Status.RUNNING, START_SECONDS)
    return job_id, child


def _children(worker: int) -> list[int]:
    return [pid for pid in below(worker) if b"worker.child" in command_of(pid)]
