"""What an ended job has left goes, whoever dies while it does."""

import os
import signal
from pathlib import Path

from jobs.schema import Status
from storage import Uri
from tests.servers import S3Server
from tests.storage.proxy import Proxy
from tests.worker.conftest import MakeFarm
from tests.worker.gate import Gate
from tests.worker.processes import signal_all, wait_until

WIDE = {"hidden_size": 128, "num_hidden_layers": 6}
SHARDED = {"target": WIDE, "max_shard_bytes": 1_000_000}
SECOND_SHARD = "-a1-00002-of-"
MANIFEST = "model.safetensors.index.json"


def test_a_worker_dies_as_it_clears_up(make_farm: MakeFarm, proxied: S3Server, proxy: Proxy, llama: Path) -> None:
    """The job is cancelled as it commits, so that its small files are there."""
    farm = make_farm(proxied)
    at_commit, at_delete = Gate(proxy, "PUT", MANIFEST), Gate(proxy, "DELETE", "config.json")
    job = farm.submit(farm.request(farm.upload(llama)))
    output = Uri.parse(job.request.output)
    with farm.worker() as worker:
        at_commit.wait()
        farm.store.request_cancel(job.id)
        farm.wait_for(job, Status.CANCELLED)
        at_delete.wait()
        worker.kill()
    at_delete.open()
    assert farm.names(output)
    # The put of a process that is dead by now.
    at_commit.open()
    # Not for half a minute: time passes for this one job.
    farm.store._client.zadd(farm.store.keys.outbox, {job.id: 1}, xx=True)
    with farm.worker():
        farm.wait_for_clearing()
    assert not farm.names(output)


def test_a_shard_that_arrives_after_its_job_is_over(
    make_farm: MakeFarm, proxied: S3Server, proxy: Proxy, llama: Path
) -> None:
    """A worker sleeps past its lease with a shard on the way; the job is cancelled and cleared away meanwhile."""
    farm = make_farm(proxied)
    gate = Gate(proxy, "PUT", SECOND_SHARD)
    job = farm.submit(farm.request(farm.upload(llama), **SHARDED))
    output = Uri.parse(job.request.output)
    with farm.worker() as sleeper:
        gate.wait()
        signal_all(sleeper.tree(), signal.SIGSTOP)
        with farm.worker():
            farm.store.request_cancel(job.id)
            farm.wait_for(job, Status.CANCELLED)
            wait_until(lambda: not farm.names(output))
            gate.open()
            assert farm.names(output)
            assert farm.to_clear() == 1
            wait_until(lambda: not farm.names(output))
            farm.wait_for_clearing()
        signal_all(sleeper.tree(), signal.SIGCONT)


def test_a_child_that_waits_is_of_one_job_alone(make_farm: MakeFarm, llama: Path) -> None:
    farm = make_farm()
    source = farm.upload(llama)
    with farm.worker() as worker:
        wait_until(lambda: len(worker.children()) == 1)
        (first,) = worker.children()
        farm.wait_for(farm.submit(farm.request(source)), Status.SUCCEEDED)
        wait_until(lambda: len(worker.children()) == 1 and worker.children() != [first])
        (second,) = worker.children()
        # One that dies while it waits costs no attempt.
        os.kill(second, signal.SIGKILL)
        ended = farm.wait_for(farm.submit(farm.request(source)), Status.SUCCEEDED)
        assert ended.attempt == 1
