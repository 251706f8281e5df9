"""A job that is asked to stop does so within seconds, and leaves nothing."""

import time
from pathlib import Path

from jobs.schema import Status
from storage import Uri
from tests.servers import S3Server
from tests.storage.proxy import Proxy
from tests.worker.conftest import MakeFarm
from tests.worker.gate import Gate
from tests.worker.processes import STOPPED_WITHIN_SECONDS, alive, wait_until

SHARDED = {"target": {"hidden_size": 128, "num_hidden_layers": 6}, "max_shard_bytes": 1_000_000}


def test_cancelled_while_it_runs(make_farm: MakeFarm, proxied: S3Server, proxy: Proxy, llama: Path) -> None:
    """With the renewals of production, so that the watch on the record alone is fast enough."""
    farm = make_farm(proxied, lease_seconds=60, lease_renew_seconds=15)
    gate = Gate(proxy, "PUT", "-a1-00002-of-")
    job = farm.submit(farm.request(farm.upload(llama), **SHARDED))
    with farm.worker() as worker:
        gate.wait()
        (child,) = worker.children()
        started = time.monotonic()
        farm.store.request_cancel(job.id)
        farm.wait_for(job, Status.CANCELLED)
        assert time.monotonic() - started < STOPPED_WITHIN_SECONDS
        assert not alive(child)
        assert not farm.names(Uri.parse(job.request.output))

        next_job = farm.submit(farm.request(Uri.parse(str(job.request.source))))
        farm.wait_for(next_job, Status.SUCCEEDED)
    gate.open()


def test_cancelled_after_its_worker_died(make_farm: MakeFarm, proxied: S3Server, proxy: Proxy, llama: Path) -> None:
    """No attempt holds the job any more; the worker that would have made the next one clears up."""
    farm = make_farm(proxied)
    gate = Gate(proxy, "PUT", "-a1-00002-of-")
    job = farm.submit(farm.request(farm.upload(llama), **SHARDED))
    with farm.worker() as worker:
        gate.wait()
        worker.kill()
    gate.open()
    farm.wait_for(job, Status.QUEUED)
    assert farm.names(Uri.parse(job.request.output))
    assert farm.store.request_cancel(job.id).status is Status.CANCELLED
    with farm.worker():
        wait_until(lambda: not farm.names(Uri.parse(job.request.output)))
    assert farm.store.get(job.id).status is Status.CANCELLED
