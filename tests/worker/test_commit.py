"""The commit: one manifest, the right one, whoever else is at work and whatever answers are lost."""

import json
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from jobs.schema import Result, Stage
from storage import Uri
from tests.servers import S3Server
from tests.storage.proxy import Fault, Proxy, answer_error, lose_answer
from tests.worker.checks import MANIFEST
from tests.worker.conftest import MakeFarm
from tests.worker.direct import Moments, run_attempt
from tests.worker.farm import Farm
from tests.worker.gate import Gate
from tests.worker.processes import wait_until
from worker.errors import OutputExists

OTHERS = {"tokenizer.json", "tokenizer_config.json", "generation_config.json", "training.json", "README.md"}


def attempt_of(farm: Farm, result: Result) -> int:
    """The attempt whose manifest is there; all that it names must be there too, and nothing else."""
    objects = farm.objects(Uri.parse(result.output))
    commit = json.loads(objects[MANIFEST])["metadata"]["growth"]
    assert {stored["name"] for stored in commit["objects"]} | {MANIFEST} == set(objects)
    return int(commit["attempt"])


def test_small_files_come_from_source_and_plan(make_farm: MakeFarm, llama: Path) -> None:
    farm = make_farm()
    source = farm.upload(llama)
    farm.storage.put(source.join("modules.json"), b"[]")
    result = run_attempt(farm, farm.request(source))
    written = farm.objects(Uri.parse(result.output))

    for name in ("tokenizer.json", "tokenizer_config.json", "generation_config.json"):
        assert written[name] == (llama / name).read_bytes()
    assert json.loads(written["config.json"])["hidden_size"] == 64
    told = json.loads(written["growth.json"])
    assert told["request"]["source"] == str(source)
    assert told["plan"]["target"]["sizes"]["hidden_size"] == 64
    assert set(told["versions"]) == {"model-growth", "safetensors", "torch", "transformers"}
    assert "modules.json" not in written
    card = written["README.md"].decode()
    assert "sentence-transformers" in card
    assert "AutoModelForCausalLM.from_pretrained" in card
    assert "function-preserving" in card


def test_small_files_are_put_side_by_side(make_farm: MakeFarm, proxied: S3Server, proxy: Proxy, llama: Path) -> None:
    """But for the first, which marks the others as the job's, and the manifest, which is the last."""
    farm = make_farm(proxied)
    request = farm.request(farm.upload(llama))
    output = Uri.parse(request.output)
    first, slow = Gate(proxy, "PUT", "growth.json"), Gate(proxy, "PUT", f"{output.name}/config.json")
    with ThreadPoolExecutor(1) as thread:
        attempt = thread.submit(run_attempt, farm, request)
        first.wait()
        assert not {"config.json", *OTHERS} & farm.names(output)
        first.open()
        slow.wait()
        wait_until(lambda: farm.names(output) >= OTHERS)
        assert not {"config.json", MANIFEST} & farm.names(output)
        slow.open()
        assert attempt_of(farm, attempt.result()) == 1


def test_the_same_request_writes_the_same_tensors(make_farm: MakeFarm, llama: Path) -> None:
    farm = make_farm()
    source = farm.upload(llama)
    shards = []
    for method in ("bert2bert", "bert2bert"):
        objects = farm.objects(Uri.parse(run_attempt(farm, farm.request(source, method=method)).output))
        shards.append([data for name, data in sorted(objects.items()) if name.endswith(".safetensors")])
    assert shards[0] == shards[1]


@pytest.mark.parametrize("fault", [lose_answer, answer_error(503, "SlowDown", after_forwarding=True)])
def test_a_lost_answer_to_the_commit(
    make_farm: MakeFarm, proxied: S3Server, proxy: Proxy, llama: Path, fault: Fault
) -> None:
    farm = make_farm(proxied)
    request = farm.request(farm.upload(llama))
    proxy.spoil("PUT", MANIFEST, fault)
    assert attempt_of(farm, run_attempt(farm, request)) == 1


def test_another_job_was_first(any_farm: Farm, llama: Path) -> None:
    request = any_farm.request(any_farm.upload(llama))
    output = Uri.parse(request.output)
    theirs = b'{"metadata": {}, "weight_map": {}}'
    moments = Moments(before_commit=lambda: any_farm.storage.put(output.join(MANIFEST), theirs))
    with pytest.raises(OutputExists):
        run_attempt(any_farm, request, moments)
    assert any_farm.objects(output)[MANIFEST] == theirs


def test_another_attempt_was_first(conditional_farm: Farm, llama: Path) -> None:
    """It has cleared away this one's shards, and this one's own result is the other's."""
    request = conditional_farm.request(conditional_farm.upload(llama))
    moments = Moments(before_commit=lambda: run_attempt(conditional_farm, request, attempt=2))
    result = run_attempt(conditional_farm, request, moments)
    assert attempt_of(conditional_farm, result) == 2


def test_a_stalled_attempt_commits_what_is_gone(conditional_farm: Farm, llama: Path) -> None:
    """It was allowed to commit, slept past its lease, and wakes when the next one has cleared its shards away.

    It sees that what it has committed is not there, and takes its manifest back.
    """
    request = conditional_farm.request(conditional_farm.upload(llama))
    asleep, awake = threading.Event(), threading.Event()

    def stall() -> None:
        asleep.set()
        assert awake.wait(60)

    stalled = threading.Thread(target=run_attempt, args=(conditional_farm, request, Moments(before_commit=stall)))
    stalled.start()
    assert asleep.wait(60)

    def wake() -> None:
        awake.set()
        stalled.join()
        assert not conditional_farm.storage.exists(Uri.parse(request.output).join(MANIFEST))

    result = run_attempt(conditional_farm, request, Moments(on_stage={Stage.EXPANDING: wake}), attempt=2)
    assert attempt_of(conditional_farm, result) == 2


def test_stages_and_progress_are_told(make_farm: MakeFarm, llama: Path) -> None:
    farm, moments = make_farm(), Moments()
    result = run_attempt(farm, farm.request(farm.upload(llama), verify=True), moments)
    assert moments.stages == [Stage.PLANNING, Stage.EXPANDING, Stage.VERIFYING, Stage.COMMITTING]
    assert moments.fractions == sorted(moments.fractions)
    assert moments.fractions[-1] == 1.0
    assert list(result.stage_seconds) == moments.stages
    assert result.verification is not None
