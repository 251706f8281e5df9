"""What in an output is the job's own, and what is never touched."""

import json

import pytest

from storage import AccessDenied, StorageError
from tests.servers import S3Server
from tests.storage.proxy import Proxy, answer_error
from tests.worker.checks import MANIFEST
from tests.worker.conftest import MakeFarm
from tests.worker.farm import Farm
from worker.errors import OutputExists
from worker.manifest import Commit, StoredObject, manifest_bytes
from worker.output import Output

OURS = ["model-job-1-a1-00001-of-00001.safetensors", "model-job-1-a2-00001-of-00001.safetensors"]
DENIED = answer_error(403, "AccessDenied", after_forwarding=False)
PARTS = 2 * 16 * 2**20
"""Bytes of an object that S3 takes in two parts."""
FOREIGN_INDEX = b'{"metadata": {"total_size": 3}, "weight_map": {}}'


def lineage(job_id: str) -> bytes:
    return json.dumps({"job_id": job_id}).encode()


def manifest(job_id: str, name: str, size: int = 4) -> bytes:
    stored = StoredObject(name=name, size=size, sha256="0" * 64)
    return manifest_bytes(Commit(job_id=job_id, attempt=1, objects=[stored], stage_seconds={}), {"weight": name}, size)


def filled(farm: Farm, objects: dict[str, bytes], job_id: str = "job-1") -> Output:
    uri = farm.root.join("output")
    for name, data in objects.items():
        farm.storage.put(uri.join(name), data)
    return Output(farm.storage, uri, job_id)


def names(output: Output) -> set[str]:
    return {info.uri.key.removeprefix(output.uri.key + "/") for info in output.store.list(output.uri)}


def test_an_attempt_clears_away_what_dead_ones_left(any_farm: Farm) -> None:
    left = {"growth.json": lineage("job-1"), "config.json": b"{}", "README.md": b"#"} | dict.fromkeys(OURS, b"1234")
    output = filled(any_farm, left)
    output.clear(2)
    assert names(output) == left.keys() - {OURS[0]}
    output.clear(3)
    assert names(output) == left.keys() - set(OURS)
    output.remove()
    assert names(output) == set()


def test_an_attempt_that_wakes_late_clears_nothing_of_a_later_one(any_farm: Farm) -> None:
    objects = {
        "growth.json": lineage("job-1"),
        "config.json": b"{}",
        OURS[1]: b"1234",
        MANIFEST: manifest("job-1", OURS[1]),
    }
    output = filled(any_farm, objects)
    writer = output.store.open_write(output.uri.join("model-job-1-a2-00002-of-00002.safetensors"), PARTS)
    writer.write(bytes(PARTS - 1))
    output.clear(2)
    output.remove_attempts(1)
    output.tidy(1)
    writer.write(b"1")
    writer.close()
    assert names(output) == {*objects, "model-job-1-a2-00002-of-00002.safetensors"}


def test_what_dead_attempts_had_begun_is_cleared_away(any_farm: Farm) -> None:
    output = filled(any_farm, {})
    writer = output.store.open_write(output.uri.join(OURS[0]), PARTS)
    writer.write(bytes(PARTS - 1))
    output.remove_attempts(1)
    writer.write(b"1")
    with pytest.raises(StorageError):
        writer.close()
    assert names(output) == set()


@pytest.mark.parametrize(
    "others",
    [
        {"notes.txt": b"mine"},
        {"config.json": b"{}"},
        {"growth.json": lineage("job-2"), "config.json": b"{}"},
        {"growth.json": b"no json"},
        {"model-job-11-a1-00001-of-00001.safetensors": b"1234"},
        {"growth.json": lineage("job-1"), "deeper/config.json": b"{}"},
    ],
)
def test_nothing_is_cleared_where_there_is_more(make_farm: MakeFarm, others: dict[str, bytes]) -> None:
    objects = {OURS[0]: b"1234", **others}
    output = filled(make_farm(), objects)
    with pytest.raises(OutputExists):
        output.clear(3)
    assert names(output) == set(objects)


def test_a_commit_of_this_job_is_found(any_farm: Farm) -> None:
    output = filled(any_farm, {"growth.json": lineage("job-1"), OURS[0]: b"1234"})
    assert output.committed() is None
    written = manifest("job-1", OURS[0])
    output.store.put(output.uri.join(MANIFEST), written)
    found = output.committed()
    assert found is not None
    assert (found.objects, found.bytes_written) == (2, 4 + len(written))


def test_a_commit_without_its_shards_is_none(make_farm: MakeFarm) -> None:
    output = filled(make_farm(), {"growth.json": lineage("job-1"), MANIFEST: manifest("job-1", OURS[0])})
    assert output.committed() is None
    output.clear(2)
    assert names(output) == {"growth.json"}


@pytest.mark.parametrize("others", [manifest("job-2", OURS[0]), FOREIGN_INDEX, b"no json"])
def test_a_commit_of_anybody_else_stands(make_farm: MakeFarm, others: bytes) -> None:
    objects = {"growth.json": lineage("job-1"), "config.json": b"{}", OURS[0]: b"1234", MANIFEST: others}
    output = filled(make_farm(), objects)
    with pytest.raises(OutputExists):
        output.committed()
    output.remove()
    assert names(output) == {"growth.json", "config.json", MANIFEST}


def test_what_looks_whole_goes_first_and_the_mark_last(make_farm: MakeFarm, proxied: S3Server, proxy: Proxy) -> None:
    objects = {"growth.json": lineage("job-1"), "config.json": b"{}", OURS[0]: b"1234"}
    output = filled(make_farm(proxied), {**objects, MANIFEST: manifest("job-1", OURS[0])})
    proxy.spoil("DELETE", OURS[0], DENIED)
    with pytest.raises(AccessDenied):
        output.remove()
    assert names(output) == set(objects)

    proxy.spoil("DELETE", "config.json", DENIED)
    with pytest.raises(AccessDenied):
        output.remove()
    assert names(output) == {"growth.json", "config.json"}
    output.remove()
    assert names(output) == set()
