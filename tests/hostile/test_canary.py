"""No request makes the service or a worker open a connection that its operator has not set up.

Real processes over a real Redis and a real S3 server, whose Python tells of every connection and every look-up of a
name; and listeners on the loopback that nobody may reach, for what is not Python.
"""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from shutil import copytree
from typing import Any

import httpx2
import pytest
import redis

from jobs.schema import Status
from jobs.settings import SharedSettings
from jobs.store import JobStore
from tests.hostile.canary import Canary, addresses, canary, connections, peaks, redirecting_to, resolved, watched
from tests.hostile.codes import JOB_CODES
from tests.hostile.memory import CHILD_BYTES, MIB, SERVICE_BYTES, status_bytes
from tests.hostile.sources import HARMLESS, RUN, Spoil
from tests.servers import RedisServer, S3Server
from tests.service.process import service_process
from tests.worker.processes import wait_until, worker_process

DATABASE = 7
IDLE_SERVICE_BYTES = 160 * MIB
IDLE_CHILD_BYTES = 1024 * MIB
"""A process that has imported torch and transformers."""
FIELDS = ("source", "output", "data", "optimizer", "operator", "tokenizer")


@pytest.fixture(autouse=True)
def nothing_left(valkey: RedisServer) -> None:
    """Webhooks of the test before would be sent, and their names looked up, in this one."""
    with redis.Redis.from_url(_at(valkey)) as client:
        client.flushdb()


@pytest.fixture
def bird() -> Iterator[Canary]:
    with canary() as found:
        yield found


def _at(valkey: RedisServer) -> str:
    return f"{valkey.url.removesuffix('/0')}/{DATABASE}"


def _environment(valkey: RedisServer, endpoint: str, folder: Path) -> dict[str, str]:
    return {
        "GROW_REDIS_URL": _at(valkey),
        "GROW_S3_ENDPOINT_URL": endpoint,
        "GROW_S3_REGION": "us-east-1",
        "GROW_S3_ACCESS_KEY_ID": "key",
        "GROW_S3_SECRET_ACCESS_KEY": "secret",
        "GROW_STATE_URI": f"file://{folder}/state",
        **watched(folder / "watched"),
    }


def _request(llama: Path, folder: Path) -> dict[str, Any]:
    return {
        "source": f"file://{llama}",
        "output": f"file://{folder}/grown",
        "target": {"hidden_size": 64},
        "method": "hypercloning",
    }


def _naming(field: str, address: str, good: dict[str, Any]) -> dict[str, Any]:
    """The request with the address in one of the places that can hold one."""
    match field:
        case "data":
            return good | {"method": "ligo", "data": {"uri": address}}
        case "optimizer":
            return good | {"source_optimizer": address}
        case "operator":
            return good | {"method": {"name": "ligo", "operator": address}}
        case "tokenizer":
            config = {"model_type": "llama", "hidden_size": 32}
            return good | {"source": {"config": config, "pretrain": {"steps": 1}, "tokenizer": address}}
    return good | {field: address}


def test_no_place_of_a_request_leads_to_an_address(
    bird: Canary, valkey: RedisServer, moto: S3Server, llama: Path, tmp_path: Path
) -> None:
    environment = _environment(valkey, moto.endpoint_url, tmp_path)
    good = _request(llama, tmp_path)
    with service_process(tmp_path / "service.log", environment) as service, httpx2.Client(timeout=60) as client:
        for field in FIELDS:
            for name, address in addresses(bird.port).items():
                for path in ("/plan", "/grow"):
                    answer = client.post(f"{service.url}{path}", json=_naming(field, address, good))
                    assert answer.status_code >= 400, (field, name, path)
                    assert answer.json()["code"] != "internal_error", (field, name, answer.text)
        assert status_bytes("VmHWM", service.pid) < IDLE_SERVICE_BYTES + SERVICE_BYTES
    assert bird.callers == []
    assert _ports(tmp_path) <= {valkey.port, _port(moto.endpoint_url)}
    assert resolved(tmp_path / "watched") <= {"127.0.0.1", "localhost"}


def test_no_webhook_leads_to_an_address(
    bird: Canary, valkey: RedisServer, moto: S3Server, llama: Path, tmp_path: Path
) -> None:
    """Those that are names are taken, and refused once they have been resolved."""
    environment = _environment(valkey, moto.endpoint_url, tmp_path)
    with _service(environment, tmp_path) as client:
        taken = []
        for number, address in enumerate(addresses(bird.port).values()):
            webhook = address.replace("http://", "https://")
            body = _request(llama, tmp_path) | {"output": f"file://{tmp_path}/grown-{number}", "webhook": webhook}
            answer = client.post("/grow", json=body)
            if answer.status_code == 202:
                taken.append(httpx2.URL(webhook).host)
                assert client.post(f"/jobs/{answer.json()['id']}/cancel").json()["status"] == "cancelled"
            else:
                assert answer.json()["code"] in {"invalid_webhook", "invalid_request"}, (address, answer.text)
        assert "localhost" in taken
        wait_until(lambda: set(taken) <= resolved(tmp_path / "watched"))
    assert bird.callers == []
    assert _ports(tmp_path) <= {valkey.port, _port(moto.endpoint_url)}


def test_a_store_that_redirects_is_not_followed(bird: Canary, valkey: RedisServer, llama: Path, tmp_path: Path) -> None:
    with redirecting_to(bird.port) as endpoint:
        environment = _environment(valkey, endpoint, tmp_path)
        with service_process(tmp_path / "service.log", environment) as service, httpx2.Client(timeout=60) as client:
            for field in FIELDS:
                answer = client.post(
                    f"{service.url}/grow", json=_naming(field, "s3://models/x", _request(llama, tmp_path))
                )
                assert answer.status_code >= 400, (field, answer.text)
                assert answer.json()["code"] != "internal_error", (field, answer.text)
        assert bird.callers == []
        assert _ports(tmp_path) <= {valkey.port, _port(endpoint)}
    assert not any("#" in host or "amazonaws" in host for host in resolved(tmp_path / "watched"))


@contextmanager
def _service(environment: dict[str, str], folder: Path) -> Iterator[httpx2.Client]:
    with (
        service_process(folder / "service.log", environment) as service,
        httpx2.Client(base_url=service.url, timeout=60) as client,
    ):
        yield client


def _unfit_data(folder: Path) -> None:
    (folder / "data.jsonl").write_bytes(b'{"text": ' + b"[" * 200_000)


RUN_TOO = ("rope-text", "weights-not-a-number", "remote-code-beside", "attention-from-elsewhere")
JOBS: dict[str, tuple[Spoil, str | None]] = {
    **{source.name: (source.spoil, source.code or None) for source in (*RUN, *HARMLESS) if source.name in RUN_TOO},
    "weights-cut": (lambda f: (f / "model.safetensors").write_bytes(b"x" * 9), "invalid_checkpoint"),
    "config-gone": (lambda f: (f / "config.json").unlink(), "invalid_config"),
    "good": (lambda _: None, None),
}


def test_a_worker_lives_through_hostile_jobs_and_does_the_next_good_one(
    bird: Canary, valkey: RedisServer, moto: S3Server, llama: Path, tmp_path: Path
) -> None:
    environment = _environment(valkey, moto.endpoint_url, tmp_path)
    ids: dict[str, str] = {}
    with _service(environment, tmp_path) as client:
        for name, (spoil, _) in JOBS.items():
            source = tmp_path / name
            copytree(llama, source)
            body = _request(source, tmp_path) | {"output": f"file://{tmp_path}/grown-{name}"}
            answer = client.post("/grow", json=body)
            assert answer.status_code == 202, answer.text
            ids[name] = answer.json()["id"]
            # Only now, so that the worker is the one to find out.
            spoil(source)
        with worker_process(environment, tmp_path / "worker.log") as worker:
            store = JobStore(SharedSettings(redis_url=_at(valkey)))
            wait_until(lambda: all(store.get(job_id).status.terminal for job_id in ids.values()), 180)
            assert worker.process.poll() is None
            for pid in worker.tree():
                if pid not in worker.children():
                    assert status_bytes("VmHWM", pid) < IDLE_SERVICE_BYTES + SERVICE_BYTES
            ended = {name: store.get(job_id) for name, job_id in ids.items()}
            store.close()
    for name, (_, code) in JOBS.items():
        job = ended[name]
        assert job.status is (Status.FAILED if code else Status.SUCCEEDED), (name, job.error)
        assert job.attempt == 1, name
        if code:
            assert job.error is not None
            assert job.error.code == code
            assert code in JOB_CODES
    assert max(peaks(tmp_path / "watched", "worker.child")) < IDLE_CHILD_BYTES + CHILD_BYTES
    assert bird.callers == []
    assert _ports(tmp_path) <= {valkey.port, _port(moto.endpoint_url)}
    assert resolved(tmp_path / "watched") <= {"127.0.0.1", "localhost"}


def test_the_watch_sees_a_connection(bird: Canary, tmp_path: Path) -> None:
    code = f"import socket; socket.create_connection(('127.0.0.1', {bird.port})).close()"
    subprocess.run([sys.executable, "-c", code], env=watched(tmp_path / "watched"), check=True)
    wait_until(lambda: bird.callers != [])
    assert connections(tmp_path / "watched") == {("127.0.0.1", bird.port)}
    assert peaks(tmp_path / "watched", "create_connection")


def _ports(folder: Path) -> set[int]:
    """Where watched processes connected to; all of it is on this machine."""
    found = connections(folder / "watched")
    assert {host for host, _ in found} <= {"127.0.0.1"}, found
    return {port for _, port in found}


def _port(url: str) -> int:
    return int(url.rpartition(":")[2])
