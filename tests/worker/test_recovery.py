"""Whatever dies, and whenever: the job has one result, and nothing else of it stays."""

import os
import signal
from pathlib import Path

import pytest

from jobs.errors import NotClaimable
from jobs.schema import EventKind, Job, Stage, Status
from storage import Uri
from tests.servers import RedisServer, S3Server, plain_client, valkey_server
from tests.storage.proxy import Proxy
from tests.tiny import tiny_llama
from tests.worker.checks import check_output, logits
from tests.worker.conftest import MakeFarm
from tests.worker.farm import Farm
from tests.worker.gate import Gate
from tests.worker.processes import STOPPED_WITHIN_SECONDS, WorkerProcess, alive, signal_all, wait_until

WIDE = {"hidden_size": 128, "num_hidden_layers": 6}
"""Some shards of a megabyte, so that there is a middle to be killed in."""
SHARDED = {"target": WIDE, "max_shard_bytes": 1_000_000}
SECOND_SHARD = "-a1-00002-of-"


def test_killed_in_the_middle_of_expanding(make_farm: MakeFarm, proxied: S3Server, proxy: Proxy, llama: Path) -> None:
    """SIGKILL to all processes at once; what the dead attempt had sent arrives while the next one is at work."""
    farm = make_farm(proxied)
    gate, next_gate = Gate(proxy, "PUT", SECOND_SHARD), Gate(proxy, "PUT", "-a2-00003-of-")
    job = farm.submit(farm.request(farm.upload(llama), **SHARDED))
    with farm.worker() as worker:
        gate.wait()
        assert farm.store.get(job.id).stage is Stage.EXPANDING
        pids = worker.tree()
        worker.kill()
    wait_until(lambda: not any(map(alive, pids)))
    with farm.worker():
        next_gate.wait()
        gate.open()
        assert any("-a1-" in name for name in farm.objects(Uri.parse(job.request.output)))
        next_gate.open()
        ended = farm.wait_for(job, Status.SUCCEEDED)

    assert ended.attempt == 2
    folder = check_output(farm, ended)
    assert not list(folder.glob("*-a1-*"))
    assert logits(folder).isfinite().all()


def test_killed_in_the_middle_of_a_multipart_upload(
    make_farm: MakeFarm, proxied: S3Server, proxy: Proxy, tmp_path: Path
) -> None:
    farm = make_farm(proxied)
    source = farm.upload(tiny_llama(tmp_path / "wider", hidden_size=256, intermediate_size=700, vocab_size=2000))
    gate = Gate(proxy, "PUT", "-a1-00001-of-")
    wanted = {"hidden_size": 512, "num_hidden_layers": 4}
    job = farm.submit(farm.request(source, target=wanted))
    with farm.worker() as worker:
        gate.wait()
        worker.kill()
    assert _uploads(proxied, job) == 1
    with farm.worker():
        ended = farm.wait_for(job, Status.SUCCEEDED)
    check_output(farm, ended)
    assert _uploads(proxied, job) == 0
    gate.open()


def test_a_killed_child_is_tried_again(make_farm: MakeFarm, proxied: S3Server, proxy: Proxy, llama: Path) -> None:
    farm = make_farm(proxied)
    gate = Gate(proxy, "PUT", SECOND_SHARD)
    job = farm.submit(farm.request(farm.upload(llama), **SHARDED))
    with farm.worker() as worker:
        gate.wait()
        (child,) = worker.children()
        os.kill(child, signal.SIGKILL)
        ended = farm.wait_for(job, Status.SUCCEEDED)
    gate.open()

    assert ended.attempt == 2
    told = [event.data["message"] for event in farm.store.events(job.id).events if event.kind is EventKind.LOG]
    assert told == ["The process that did the work was ended by SIGKILL, as happens where memory runs out."]


def test_a_worker_takes_up_what_it_gave_back_before_what_waits(
    make_farm: MakeFarm, proxied: S3Server, proxy: Proxy, llama: Path
) -> None:
    farm = make_farm(proxied)
    gate = Gate(proxy, "PUT", SECOND_SHARD)
    source = farm.upload(llama)
    first = farm.submit(farm.request(source, **SHARDED))
    with farm.worker() as worker:
        gate.wait()
        second = farm.submit(farm.request(source))
        (child,) = worker.children()
        os.kill(child, signal.SIGKILL)
        gate.open()
        ended = farm.wait_for(second, Status.SUCCEEDED)
    taken_up = farm.store.get(first.id)
    assert (taken_up.status, taken_up.attempt) == (Status.SUCCEEDED, 2)
    assert taken_up.finished_at is not None
    assert ended.started_at is not None
    assert taken_up.finished_at < ended.started_at


def test_a_child_that_dies_in_every_attempt_poisons_the_job(
    make_farm: MakeFarm, proxied: S3Server, proxy: Proxy, llama: Path
) -> None:
    farm = make_farm(proxied, max_attempts=2)
    gates = [Gate(proxy, "PUT", f"-a{attempt}-00002-of-") for attempt in (1, 2)]
    job = farm.submit(farm.request(farm.upload(llama), **SHARDED))
    with farm.worker() as worker:
        for gate in gates:
            gate.wait()
            (child,) = worker.children()
            os.kill(child, signal.SIGKILL)
            gate.open()
        ended = farm.wait_for(job, Status.FAILED)
        wait_until(lambda: not list(farm.storage.list(Uri.parse(job.request.output))))
    assert ended.error is not None
    assert ended.error.code == "poison"


def test_the_child_dies_with_its_worker(make_farm: MakeFarm, proxied: S3Server, proxy: Proxy, llama: Path) -> None:
    """SIGKILL to Celery's main process alone."""
    farm = make_farm(proxied)
    gate = Gate(proxy, "PUT", SECOND_SHARD)
    farm.submit(farm.request(farm.upload(llama), **SHARDED))
    with farm.worker() as worker:
        gate.wait()
        pids = worker.tree()
        os.kill(pids[0], signal.SIGKILL)
        wait_until(lambda: not any(map(alive, pids)))
    gate.open()


@pytest.mark.parametrize("told", ["the main process", "every process"])
def test_a_worker_told_to_leave_gives_its_job_back(
    make_farm: MakeFarm, proxied: S3Server, proxy: Proxy, llama: Path, told: str
) -> None:
    """SIGTERM as Docker and Kubernetes send it, and as systemd does; the attempt is not counted."""
    farm = make_farm(proxied, max_attempts=1)
    gate = Gate(proxy, "PUT", SECOND_SHARD)
    job = farm.submit(farm.request(farm.upload(llama), **SHARDED))
    with farm.worker() as worker:
        gate.wait()
        pids = worker.tree()
        signal_all(pids[:1] if told == "the main process" else pids, signal.SIGTERM)
        assert worker.process.wait(STOPPED_WITHIN_SECONDS) == 0
        assert farm.store.get(job.id).status is Status.QUEUED
        wait_until(lambda: not any(map(alive, pids)))
    gate.open()
    with farm.worker():
        ended = farm.wait_for(job, Status.SUCCEEDED)
    assert ended.attempt == 2
    check_output(farm, ended)


def test_redis_may_be_away_for_a_while(
    make_farm: MakeFarm, redis: RedisServer, proxied: S3Server, proxy: Proxy, llama: Path, tmp_path: Path
) -> None:
    """It is killed and comes back with its data; the attempt goes on, commits and is recorded."""
    farm = make_farm(proxied)
    gate = Gate(proxy, "PUT", SECOND_SHARD)
    job = farm.submit(farm.request(farm.upload(llama), **SHARDED))
    with farm.worker() as worker:
        gate.wait()
        os.kill(redis.pid, signal.SIGKILL)
        gate.open()
        wait_until(lambda: b"does not answer" in worker.log.read_bytes())
        with valkey_server(tmp_path / "valkey", port=redis.port):
            ended = farm.wait_for(job, Status.SUCCEEDED)
            assert ended.attempt == 1
            check_output(farm, ended)
            worker.kill()


def test_an_attempt_that_lost_its_lease_writes_nothing_more(
    make_farm: MakeFarm, proxied: S3Server, proxy: Proxy, llama: Path
) -> None:
    farm = make_farm(proxied)
    gate = Gate(proxy, "PUT", SECOND_SHARD)
    job = farm.submit(farm.request(farm.upload(llama), **SHARDED))
    with farm.worker() as worker:
        gate.wait()
        (child,) = worker.children()
        before = farm.objects(Uri.parse(job.request.output))
        _steal(farm, job, worker)
        wait_until(lambda: not alive(child))
        wait_until(lambda: b"lost its lease" in worker.log.read_bytes())
        found = farm.store.get(job.id)
    assert (found.status, found.attempt) == (Status.RUNNING, 2)
    assert farm.objects(Uri.parse(job.request.output)) == before
    gate.open()


def test_a_commit_that_was_never_recorded_is_adopted(
    make_farm: MakeFarm, proxied: S3Server, proxy: Proxy, llama: Path
) -> None:
    """The worker dies when the manifest is there and the record does not know it yet."""
    farm = make_farm(proxied)
    gate = Gate(proxy, "PUT", "model.safetensors.index.json")
    job = farm.submit(farm.request(farm.upload(llama), **SHARDED))
    with farm.worker() as worker:
        gate.wait()
        worker.kill()
    gate.open()
    with farm.worker():
        ended = farm.wait_for(job, Status.SUCCEEDED)
    assert ended.attempt == 2
    assert len(list(check_output(farm, ended).glob("*-a1-*"))) == ended.plan.shards


def _uploads(server: S3Server, job: Job) -> int:
    """Multipart uploads under the job's output that nobody has completed or aborted."""
    prefix = Uri.parse(job.request.output).key
    found = plain_client(server).list_multipart_uploads(Bucket=server.bucket, Prefix=prefix)
    return len(found.get("Uploads", []))


def _steal(farm: Farm, job: Job, worker: WorkerProcess) -> None:
    """Another worker claims the job, because this one was silent for longer than its lease."""
    pids = worker.tree()
    signal_all(pids, signal.SIGSTOP)
    wait_until(lambda: _claimed(farm, job))
    signal_all(pids, signal.SIGCONT)


def _claimed(farm: Farm, job: Job) -> bool:
    try:
        farm.store.claim(job.id, "thief")
    except NotClaimable:
        return False
    return True
