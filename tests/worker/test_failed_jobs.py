"""A job that can't succeed says why in one sentence and leaves nothing; one that may succeed later is tried again."""

from pathlib import Path

import pytest

from jobs.schema import Failure, GrowthRequest, Job, Status
from storage import Uri
from tests.servers import S3Server
from tests.storage.proxy import Proxy, answer_error
from tests.tiny import tiny_llama
from tests.worker.conftest import MakeFarm
from tests.worker.farm import Farm

UNAVAILABLE = answer_error(503, "SlowDown", after_forwarding=False)
OFTEN = 10_000


@pytest.fixture
def farm(make_farm: MakeFarm) -> Farm:
    return make_farm()


def failure_of(farm: Farm, job: Job) -> Failure:
    with farm.worker():
        ended = farm.wait_for(job, Status.FAILED)
        farm.wait_for_clearing()
    assert ended.error is not None
    assert ended.error.detail.endswith(".")
    assert "\n" not in ended.error.detail
    return ended.error


def output_of(farm: Farm, job: Job) -> dict[str, bytes]:
    return farm.objects(Uri.parse(job.request.output))


def test_a_source_that_was_truncated_since(farm: Farm, llama: Path) -> None:
    source = farm.upload(llama)
    job = farm.submit(farm.request(source))
    weights = source.join("model.safetensors")
    farm.storage.put(weights, farm.storage.read(weights)[:-100])
    failure = failure_of(farm, job)
    assert failure.code == "invalid_checkpoint"
    assert "truncated" in failure.detail
    assert not output_of(farm, job)


def test_a_source_that_became_another_model(farm: Farm, llama: Path, tmp_path: Path) -> None:
    job = farm.submit(farm.request(farm.upload(llama)))
    farm.upload(tiny_llama(tmp_path / "other", intermediate_size=96))
    assert failure_of(farm, job).code == "source_changed"
    assert not output_of(farm, job)


def test_an_output_that_somebody_filled_since(farm: Farm, llama: Path) -> None:
    job = farm.submit(farm.request(farm.upload(llama)))
    farm.storage.put(Uri.parse(job.request.output).join("README.md"), b"mine")
    failure = failure_of(farm, job)
    assert (failure.code, failure.field) == ("output_exists", "/output")
    assert output_of(farm, job) == {"README.md": b"mine"}


def test_data_that_is_empty(farm: Farm, llama: Path) -> None:
    data = farm.root.join("empty.txt")
    farm.storage.put(data, b"")
    request = farm.request(farm.upload(llama), method="ligo", data={"uri": str(data)})
    job = farm.submit(request)
    failure = failure_of(farm, job)
    assert (failure.code, failure.field) == ("invalid_data", "/data")
    assert not output_of(farm, job)


def test_a_store_that_is_away_for_a_while(make_farm: MakeFarm, proxied: S3Server, proxy: Proxy, llama: Path) -> None:
    farm = make_farm(proxied)
    job = farm.submit(_sharded(farm, llama))
    proxy.spoil("PUT", "-a1-00002-of-", UNAVAILABLE, times=OFTEN)
    with farm.worker():
        ended = farm.wait_for(job, Status.SUCCEEDED)
    assert ended.attempt == 2


@pytest.mark.parametrize("name", ["-00002-of-", "growth.json", "tokenizer.json"])
def test_a_store_that_stays_away(make_farm: MakeFarm, proxied: S3Server, proxy: Proxy, llama: Path, name: str) -> None:
    farm = make_farm(proxied, max_attempts=1)
    job = farm.submit(_sharded(farm, llama))
    proxy.spoil("PUT", name, UNAVAILABLE, times=OFTEN)
    failure = failure_of(farm, job)
    assert failure.code == "storage_unavailable"
    assert not output_of(farm, job)


def _sharded(farm: Farm, llama: Path) -> GrowthRequest:
    target = {"hidden_size": 128, "num_hidden_layers": 6}
    return farm.request(farm.upload(llama), target=target, max_shard_bytes=1_000_000)
