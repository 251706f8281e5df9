"""One run: a service is started, jobs are sent, faults come to pass, and when all is quiet again it is looked at."""

import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from random import Random

from jobs.settings import SharedSettings
from jobs.store import JobStore
from storage import Uri
from tests.chaos.clients import Clients
from tests.chaos.faults import Fault, faults
from tests.chaos.inflicting import Inflictor
from tests.chaos.invariants import pending, violations
from tests.chaos.ledger import Ledger
from tests.chaos.machines import Machines, Store, running
from tests.chaos.report import Report, report
from tests.chaos.workload import Asked, workload
from tests.tiny import corpus, tiny_llama

QUIET_SECONDS = 90.0
"""After the last job has ended: until nothing is left to be cleared."""
LOOK_SECONDS = 0.1


@dataclass(frozen=True)
class Run:
    """What decides a run, but for the clock."""

    seed: int
    jobs: int
    faults: int
    store: Store
    workers: int
    limit_seconds: float
    """A job that has not ended by then is a violation."""


def chaos(run: Run, folder: Path, tell: Callable[[str], None] = print) -> Report:
    """Returns when everything it has started is gone; logs are below `folder`."""
    random = Random(run.seed)
    with running(folder, run.store, run.workers) as machines:
        root = f"s3://{machines.server.bucket}/chaos"
        _upload(machines, root)
        asked, planned = list(workload(random, run.jobs, root)), list(faults(random, run.faults))
        ledger = Ledger()
        with closing(JobStore(SharedSettings(redis_url=machines.redis_url))) as store:
            inflictor = Inflictor(machines, store, ledger, random)
            with _clients(machines, asked, ledger, inflictor) as clients:
                _inflict_all(run, planned, inflictor, ledger, clients, tell)
                inflictor.heal()
                _wait(lambda: clients.sent() and not ledger.open_jobs(), run.limit_seconds - ledger.seconds)
            seconds = ledger.seconds
            _wait(lambda: not any(pending(machines, store.keys).values()), QUIET_SECONDS)
            found = list(violations(machines, store, ledger, asked))
            found += [f"{count} jobs in {name}" for name, count in pending(machines, store.keys).items() if count]
            return report(run, asked, ledger, store, seconds, found)


def scratch() -> tempfile.TemporaryDirectory[str]:
    """A folder for a run's data and logs."""
    return tempfile.TemporaryDirectory(prefix="chaos-")


@contextmanager
def _clients(machines: Machines, asked: list[Asked], ledger: Ledger, inflictor: Inflictor) -> Iterator[Clients]:
    clients = Clients(machines.url, asked, ledger, inflictor.announce)
    clients.start()
    try:
        yield clients
    finally:
        clients.stop()


def _inflict_all(
    run: Run, planned: list[Fault], inflictor: Inflictor, ledger: Ledger, clients: Clients, tell: Callable[[str], None]
) -> None:
    """Spread evenly over the jobs, whatever time those take."""

    def over() -> bool:
        return (clients.sent() and not ledger.open_jobs()) or ledger.seconds > run.limit_seconds

    for number, fault in enumerate(planned):
        due = number * run.jobs // len(planned)
        while ledger.answered < due and not over():
            time.sleep(LOOK_SECONDS)
        if over():
            return
        tell(
            f"{ledger.seconds:6.1f} s, {len(ledger.ended)} of {ledger.answered} answered jobs have ended: "
            f"{fault.action} {fault.victim} at {fault.point}"
        )
        inflictor.inflict(fault, over)


def _upload(machines: Machines, root: str) -> None:
    storage, place = machines.storage(), Uri.parse(root)
    source = tiny_llama(machines.folder / "source")
    for path in source.iterdir():
        storage.put(place.join(f"source/{path.name}"), path.read_bytes())
    storage.put(place.join("text.txt"), "\n".join(corpus(600)).encode())


def _wait(reached: Callable[[], bool], seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while not reached() and time.monotonic() < deadline:
        time.sleep(LOOK_SECONDS)
