"""Redis, the workers and the API of one machine: started in this order, watched together, stopped in the other."""

import json
import os
import platform
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

import httpx2

from client.descendants import adopt_orphans, kill_descendants
from client.errors import LocalServiceError
from client.local_redis import named_url, server_here
from client.ports import usable_port
from client.process import Process
from client.state import StateFolder
from client.stop_signal import StopSignal

READY_SECONDS = 90.0
LOOK_SECONDS = 0.1
ANY_ADDRESS = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 (where to reach what listens everywhere)
# In all less than 20 s: what waits for `grow up` to end seldom waits longer.
API_STOP_SECONDS = 4.0
WORKER_STOP_SECONDS = 10.0
REDIS_STOP_SECONDS = 4.0
CELERY = [sys.executable, "-m", "celery", "-A", "worker.app"]


@dataclass(frozen=True)
class Options:
    host: str
    port: int
    """0 takes any free one."""
    state_dir: Path
    workers: int


@dataclass(frozen=True)
class Ready:
    """What a running local service consists of."""

    url: str
    state_dir: str
    pids: dict[str, int]

    def as_json(self) -> str:
        return json.dumps(asdict(self))


class LocalService:
    """The processes of one `grow up`; `stop` may be called at any time, also in the middle of `start`.

    Raises LocalServiceError where the API can't listen at its address.
    """

    def __init__(
        self, options: Options, state: StateFolder, stop: StopSignal, look: Callable[[list[Process]], None]
    ) -> None:
        self._options = options
        self._state = state
        self._stop = stop
        self._look = look
        self._port = usable_port(options.host, options.port)
        self._redis: list[Process] = []
        self._workers: list[Process] = []
        self._api: list[Process] = []

    @property
    def url(self) -> str:
        host = ANY_ADDRESS.get(self._options.host, self._options.host)
        return f"http://[{host}]:{self._port}" if ":" in host else f"http://{host}:{self._port}"

    def start(self) -> Ready:
        """Returns once the API is ready and every worker answers, or a stop was asked for. Raises LocalServiceError."""
        adopt_orphans()
        environment = self._environment(self._start_redis())
        self._start_workers(environment)
        self._start_api(environment)
        self._until(self._api_is_ready, "API")
        for worker in self._workers:
            self._until(self._ping(worker, environment), worker.name)
        ready = Ready(self.url, str(self._state.root), {process.name: process.pid for process in self._processes()})
        self._state.describe({"pid": os.getpid(), "url": self.url})
        return ready

    def watch(self) -> None:
        """Returns once a stop is asked for. Raises LocalServiceError when a process ends by itself."""
        while not self._stop.asked:
            self._check()
            self._stop.sleep(LOOK_SECONDS)

    def stop(self) -> None:
        """No new requests first, then no more work, Redis when nobody needs it any more; at last, whatever is left."""
        for processes, patience_seconds in (
            (self._api, API_STOP_SECONDS),
            (self._workers, WORKER_STOP_SECONDS),
            (self._redis, REDIS_STOP_SECONDS),
        ):
            for process in processes:
                process.ask_to_end()
            deadline = time.monotonic() + patience_seconds
            while any(p.running for p in processes) and time.monotonic() < deadline and not self._stop.hurry():
                self._look(self._processes())
                time.sleep(LOOK_SECONDS)
            for process in processes:
                process.kill()
        self._look(self._processes())
        kill_descendants()

    def _start_redis(self) -> str:
        """Its URL, once it takes commands."""
        named = named_url(os.environ)
        if named is not None:
            return named
        server = server_here(self._state.redis)
        self._redis.append(Process("redis", server.command, os.environ, self._state.logs, stdin=server.configuration))
        self._until(server.answers, "Redis")
        return server.url

    def _start_workers(self, environment: Mapping[str, str]) -> None:
        for number in range(1, self._options.workers + 1):
            name = f"worker-{number}"
            arguments = ["worker", "-n", self._node(name)]
            self._workers.append(Process(name, [*CELERY, *arguments], environment, self._state.logs))

    def _start_api(self, environment: Mapping[str, str]) -> None:
        place = {"GROW_HOST": self._options.host, "GROW_PORT": str(self._port)}
        command = [sys.executable, "-m", "service"]
        self._api.append(Process("api", command, {**environment, **place}, self._state.logs))

    def _environment(self, redis_url: str) -> dict[str, str]:
        fits = os.environ.get("GROW_STATE_URI") or f"file://{self._state.fits}"
        return {**os.environ, "GROW_REDIS_URL": redis_url, "GROW_STATE_URI": fits, "PYTHONUNBUFFERED": "1"}

    def _node(self, worker: str) -> str:
        """Celery's name of a worker: unlike that of any other `grow up` on the same Redis."""
        return f"{worker}@{platform.node()}-{os.getpid()}"

    def _api_is_ready(self) -> bool:
        try:
            return httpx2.get(f"{self.url}/readyz", timeout=5.0, trust_env=False).is_success
        except httpx2.TransportError:
            return False

    def _ping(self, worker: Process, environment: Mapping[str, str]) -> Callable[[], bool]:
        """Asks the worker over and over, each time with a process that ends by itself."""
        command = [*CELERY, "inspect", "ping", "--timeout", "1", "-d", self._node(worker.name)]
        ping = Process("ping", command, environment, self._state.logs)

        def answered() -> bool:
            nonlocal ping
            if ping.running:
                return False
            if ping.exit_code == 0:
                return True
            ping = Process("ping", command, environment, self._state.logs)
            return False

        return answered

    def _until(self, reached: Callable[[], bool], what: str) -> None:
        deadline = time.monotonic() + READY_SECONDS
        while not self._stop.asked and not reached():
            self._check()
            if time.monotonic() > deadline:
                raise LocalServiceError(
                    f"{what} was not ready within {READY_SECONDS:.0f} s.", f"See the logs in {self._state.logs}."
                )
            self._stop.sleep(LOOK_SECONDS)

    def _check(self) -> None:
        self._look(self._processes())
        for process in self._processes():
            process.check()

    def _processes(self) -> list[Process]:
        return [*self._redis, *self._workers, *self._api]
