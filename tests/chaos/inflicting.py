"""Faults as they come to pass: waits for the point, hits the victim, and brings it back after a while."""

import re
import signal
import time
from collections.abc import Callable
from random import Random
from threading import Event, Lock, Thread

import httpx2

from jobs.errors import JobError
from jobs.schema import EventKind
from jobs.store import JobStore
from tests.chaos.faults import OF_JOBS, STORE_POINTS, Fault, Point
from tests.chaos.ledger import Inflicted, Ledger
from tests.chaos.machines import LEASE_SECONDS, Machine, Machines
from tests.storage.proxy import Exchange

POINT_SECONDS = 12.0
"""How long a fault waits for its point."""
LEAVE_SECONDS = 20.0
STALL_SECONDS = LEASE_SECONDS + 2.0
OUTPUT = re.compile(r"/out-([0-9]{5})/")
JOB = re.compile(r"job-[0-9a-f]{14}-[0-9a-f]{10}")


class Inflictor:
    """One fault at a time is waited for; the one before may still be healing."""

    def __init__(self, machines: Machines, store: JobStore, ledger: Ledger, random: Random) -> None:
        self._machines, self._store, self._ledger, self._random = machines, store, ledger, random
        self._armed: tuple[Point, Callable[[str], None]] | None = None
        self._arming = Lock()
        self._healing: list[Thread] = []

    def inflict(self, fault: Fault, over: Callable[[], bool]) -> None:
        """Returns once it has come to pass, or its point did not come."""
        happened = Event()
        once = Lock()

        def hit(job_id: str | None) -> None:
            if once.acquire(blocking=False):
                self._hit(fault, job_id)
                happened.set()

        if fault.point == "any":
            hit(self._some_running_job())
            return
        disarm = self._at_store(fault, hit) if fault.point in STORE_POINTS else self._at_client(fault, hit)
        deadline = time.monotonic() + POINT_SECONDS
        while not happened.wait(0.1) and time.monotonic() < deadline and not over():
            continue
        disarm()
        if once.acquire(blocking=False):
            self._ledger.missed[fault.point] += 1
        else:
            happened.wait(POINT_SECONDS)

    def announce(self, point: str, job_id: str) -> None:
        """A client has reached the point; what waits for it happens before this returns."""
        with self._arming:
            armed, hit = self._armed or ("", None)
            if armed != point or hit is None:
                return
            self._armed = None
        hit(job_id)

    def heal(self) -> None:
        """Returns when every victim is back."""
        for thread in self._healing:
            thread.join()

    def _at_client(self, fault: Fault, hit: Callable[[str | None], None]) -> Callable[[], None]:
        with self._arming:
            self._armed = (fault.point, hit)

        def disarm() -> None:
            with self._arming:
                self._armed = None

        return disarm

    def _at_store(self, fault: Fault, hit: Callable[[str | None], None]) -> Callable[[], None]:
        def reached(exchange: Exchange) -> None:
            job_id = self._job_at(exchange.handler.path)
            if fault.point == "committed":
                exchange.forward()
                hit(job_id)
                exchange.hang_up()
            else:
                hit(job_id)
                exchange.pass_on()

        method, mark = STORE_POINTS[fault.point]
        proxy = self._machines.proxy
        proxy.spoil(method, mark, reached)
        return proxy.rules.clear

    def _job_at(self, path: str) -> str | None:
        if found := OUTPUT.search(path):
            return self._ledger.accepted.get(int(found[1]))
        named = JOB.search(path)
        return named[0] if named else None

    def _some_running_job(self) -> str | None:
        found = self._ledger.open_jobs()
        running = [job_id for job_id in found if self._worker_of(job_id) is not None]
        return self._random.choice(running) if running else None

    def _worker_of(self, job_id: str) -> Machine | None:
        """The worker whose pool process has made the job's last claim."""
        try:
            events = self._store.events(job_id).events
        except JobError:
            return None
        claims = [event.data["worker"] for event in events if event.kind is EventKind.STATUS and "worker" in event.data]
        pid = int(str(claims[-1]).rpartition(":")[2]) if claims else 0
        return next((worker for worker in self._machines.workers if pid in worker.pids), None)

    def _hit(self, fault: Fault, job_id: str | None) -> None:
        machine = self._machine(fault, job_id)
        pids = _pids(machine, fault)
        if not pids or not machine.busy.acquire(blocking=False):
            self._ledger.missed["no victim"] += 1
            return
        number = {"kill": signal.SIGKILL, "leave": signal.SIGTERM}.get(fault.action, signal.SIGSTOP)
        machine.send(number, pids)
        inflicted = Inflicted(fault, time.time(), job_id)
        with self._ledger.lock:
            self._ledger.inflicted.append(inflicted)
        thread = Thread(target=self._heal, args=(machine, pids, inflicted), name=f"heals {machine.name}")
        self._healing.append(thread)
        thread.start()

    def _machine(self, fault: Fault, job_id: str | None) -> Machine:
        if fault.victim not in OF_JOBS:
            return {"api": self._machines.api, "valkey": self._machines.valkey, "s3": self._machines.s3}[fault.victim]
        worker = self._worker_of(job_id) if job_id is not None else None
        return worker or self._random.choice(self._machines.workers)

    def _heal(self, machine: Machine, pids: list[int], inflicted: Inflicted) -> None:
        fault = inflicted.fault
        began = time.monotonic()
        try:
            if fault.action in ("pause", "stall"):
                time.sleep(fault.delay_seconds if fault.action == "pause" else STALL_SECONDS + fault.delay_seconds)
                machine.send(signal.SIGCONT, pids)
            elif fault.victim in ("main", "worker", "api", "valkey", "s3"):
                self._start_again(machine, fault)
            if fault.victim not in OF_JOBS:
                self._wait_for_answers(machine)
                inflicted.recovered_seconds = time.monotonic() - began
                self._check_kept(inflicted)
        except Exception as error:  # noqa: BLE001, whatever it is, the run has to end
            self._ledger.violate(f"{machine.name} did not come back: {error!r}")
        finally:
            machine.busy.release()

    def _start_again(self, machine: Machine, fault: Fault) -> None:
        began = time.monotonic()
        machine.wait()
        if fault.action == "leave" and time.monotonic() - began > LEAVE_SECONDS:
            self._ledger.violate(f"{machine.name} took {time.monotonic() - began:.0f} s to leave")
        time.sleep(fault.delay_seconds)
        machine.start()

    def _wait_for_answers(self, machine: Machine) -> None:
        deadline = time.monotonic() + 60
        while not self._answers(machine):
            assert time.monotonic() < deadline, f"{machine.name} does not answer"
            time.sleep(0.05)

    def _answers(self, machine: Machine) -> bool:
        if machine is self._machines.s3:
            try:
                return httpx2.get(self._machines.proxy.endpoint_url, timeout=5.0, trust_env=False).status_code > 0
            except httpx2.TransportError:
                return False
        return machine.ready()

    def _check_kept(self, inflicted: Inflicted) -> None:
        if inflicted.fault.victim == "valkey" and inflicted.job_id is not None:
            try:
                self._store.get(inflicted.job_id)
            except JobError as error:
                self._ledger.violate(f"Valkey was killed directly after a 202, and then: {error}")


def _pids(machine: Machine, fault: Fault) -> list[int]:
    match fault.victim:
        case "child":
            return machine.children[:1]
        case "pool":
            return [pid for pid in machine.pids[1:] if pid not in machine.children][:1]
        case "main":
            return machine.pids[:1]
        case "worker" if fault.action == "leave":
            return machine.pids[:1]
        case _:
            return machine.pids
