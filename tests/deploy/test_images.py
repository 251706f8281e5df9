"""The images' own installation steps, run in clean virtual environments: minutes, so `make images` runs them."""

import os
import subprocess
import time
from pathlib import Path

import httpx2
import pytest

from tests.deploy.dockerfile import replay
from tests.deploy.manifests import DOCKERFILES
from tests.servers import RedisServer, free_port

pytestmark = [pytest.mark.images, pytest.mark.timeout(1800)]
SERVICE, WORKER = DOCKERFILES


def _environment(valkey: RedisServer, port: int) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "VIRTUAL_ENV")}
    return {**kept, "GROW_REDIS_URL": valkey.url, "GROW_PORT": str(port), "GROW_DEVICE": "cpu"}


def test_the_service_starts_and_answers_without_torch(valkey: RedisServer, tmp_path: Path) -> None:
    venv, port = replay(SERVICE, "build", tmp_path), free_port()
    imported = subprocess.run([venv / "bin" / "python", "-c", "import torch"], capture_output=True, text=True, cwd="/")
    assert "No module named 'torch'" in imported.stderr
    server = subprocess.Popen([venv / "bin" / "python", "-m", "service"], env=_environment(valkey, port), cwd="/")
    try:
        url, deadline = f"http://127.0.0.1:{port}", time.monotonic() + 60
        while not _answers(f"{url}/readyz"):
            assert server.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.1)
        assert {method["name"] for method in httpx2.get(f"{url}/methods").json()["methods"]} >= {"ligo", "hypercloning"}
        assert "growth_job_store_up 1.0" in httpx2.get(f"{url}/metrics").text
    finally:
        server.terminate()
        server.wait(30)


def test_the_worker_starts_and_answers(valkey: RedisServer, tmp_path: Path) -> None:
    venv = replay(WORKER, "build-cpu", tmp_path)
    environment = _environment(valkey, 0)
    loads = [str(venv / "bin" / "python"), "-c", "import worker.run, worker.fitting, torch; print(torch.__version__)"]
    loaded = subprocess.run(loads, env=environment, cwd="/", capture_output=True, text=True, check=True)
    assert loaded.stdout.strip().endswith("+cpu")
    celery = [str(venv / "bin" / "celery"), "--quiet", "-A", "worker.app"]
    worker = subprocess.Popen([*celery, "worker", "-n", "image@test"], env=environment, cwd="/")
    try:
        ping = [*celery, "inspect", "ping", "--timeout", "1", "--destination", "image@test"]
        deadline = time.monotonic() + 120
        while subprocess.run(ping, env=environment, cwd="/", capture_output=True).returncode:
            assert worker.poll() is None
            assert time.monotonic() < deadline
    finally:
        worker.terminate()
        worker.wait(30)


def _answers(url: str) -> bool:
    try:
        return httpx2.get(url).status_code == 200
    except httpx2.TransportError:
        return False
