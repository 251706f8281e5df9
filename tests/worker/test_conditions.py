"""What a worker finds out about its stores, and commits on those that keep no conditional puts."""

import json
import threading
from pathlib import Path

import pytest

from jobs.schema import GrowthRequest, Result, Stage, Status
from storage import Uri
from tests.servers import S3Server
from tests.storage.proxy import Proxy, answer_error, ignore_conditions
from tests.worker.checks import MANIFEST, check_output
from tests.worker.conftest import MakeFarm
from tests.worker.direct import Moments, run_attempt
from tests.worker.farm import Farm
from tests.worker.gate import Gate
from tests.worker.processes import wait_until
from worker.conditions import Conditions


@pytest.mark.parametrize(("kind", "held"), [("file", True), ("moto", True), ("rclone", False)])
def test_a_store_is_asked_once(make_farm: MakeFarm, request: pytest.FixtureRequest, kind: str, held: bool) -> None:
    farm = make_farm(None if kind == "file" else request.getfixturevalue(kind))
    conditions = Conditions()
    assert conditions.held(farm.storage, farm.root) is held
    assert not farm.names(farm.root)
    assert conditions._held == {(farm.root.scheme, farm.root.bucket): held}


def test_a_store_that_does_not_answer_is_asked_again(make_farm: MakeFarm, proxied: S3Server, proxy: Proxy) -> None:
    farm, conditions = make_farm(proxied), Conditions()
    proxy.spoil("PUT", ".probe", answer_error(403, "AccessDenied", after_forwarding=False))
    assert conditions.held(farm.storage, farm.root) is False
    assert conditions.held(farm.storage, farm.root) is True


def test_a_probe_that_was_interrupted_is_swept_with_its_attempt(make_farm: MakeFarm, llama: Path) -> None:
    farm = make_farm()
    wanted = farm.request(farm.upload(llama))
    farm.storage.put(Uri.parse(wanted.output).join("probe-job-1-a1-0123456789abcdef"), b"probe")
    result = run_attempt(farm, wanted, attempt=2)
    assert not any(name.startswith("probe") for name in farm.names(Uri.parse(result.output)))


def attempt_in_manifest(farm: Farm, request: GrowthRequest) -> int:
    told = json.loads(farm.objects(Uri.parse(request.output))[MANIFEST])
    return int(told["metadata"]["growth"]["attempt"])


@pytest.mark.parametrize("lives", [True, False])
def test_the_next_attempt_puts_the_manifest_that_was_granted(any_farm: Farm, llama: Path, lives: bool) -> None:
    """The one that was granted its commit stalls before the put, and wakes when the next one is done, or never."""
    request = any_farm.request(any_farm.upload(llama), max_shard_bytes=1_000_000)
    asleep, awake = threading.Event(), threading.Event()
    results: list[Result] = []

    class Died(Exception):
        pass

    def stall() -> None:
        asleep.set()
        assert awake.wait(60)
        if not lives:
            raise Died

    def attempt() -> None:
        try:
            results.append(run_attempt(any_farm, request, Moments(before_commit=stall), conditional=False))
        except Died:
            return

    stalled = threading.Thread(target=attempt)
    stalled.start()
    assert asleep.wait(60)
    moments = Moments()
    result = run_attempt(any_farm, request, moments, attempt=2, conditional=False, granted=1)
    assert moments.stages == [Stage.PLANNING]
    before = any_farm.objects(Uri.parse(request.output))
    awake.set()
    stalled.join()
    assert attempt_in_manifest(any_farm, request) == 1
    assert any_farm.objects(Uri.parse(request.output)) == before
    assert result.objects == len(before)
    assert [found.model_copy(update={"stage_seconds": result.stage_seconds}) for found in results] == [result] * lives


def test_a_job_on_a_store_without_conditions(make_farm: MakeFarm, rclone: S3Server, llama: Path) -> None:
    farm = make_farm(rclone)
    with farm.worker() as worker:
        ended = farm.wait_for(farm.submit(farm.request(farm.upload(llama))), Status.SUCCEEDED)
        assert b"held=False" in worker.log.read_bytes()
    check_output(farm, ended)


def test_a_worker_dies_between_the_grant_and_the_put(
    make_farm: MakeFarm, proxied: S3Server, proxy: Proxy, llama: Path
) -> None:
    """And its put arrives when the next attempt has long been the one that counts."""
    farm = make_farm(proxied)
    proxy.spoil("PUT", "probe", ignore_conditions, times=40)
    gate = Gate(proxy, "PUT", MANIFEST)
    job = farm.submit(farm.request(farm.upload(llama)))
    with farm.worker() as worker:
        gate.wait()
        worker.kill()
    with farm.worker():
        ended = farm.wait_for(job, Status.SUCCEEDED)
        assert ended.attempt == 2
        check_output(farm, ended)
        gate.open()
        wait_until(lambda: not farm.store._client.zcard(farm.store.keys.outbox))
    check_output(farm, ended)
    assert attempt_in_manifest(farm, job.request) == 1
