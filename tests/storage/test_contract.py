"""The contract of `ObjectStore`, the same for files, moto and rclone; where they differ, the difference is a fact."""

import hashlib
import random
from array import array
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from unittest.mock import patch

import pytest

from storage import (
    AlreadyExists,
    Changed,
    InvalidUri,
    NotFound,
    ObjectWriter,
    S3Settings,
    Storage,
    StorageError,
    StorageSettings,
    Uri,
    WrongSize,
    probe_conditional_put,
)
from storage.settings import S3_SMALLEST_PART as PART
from tests.servers import S3Server
from tests.storage.conftest import Place, settings_for

SIZES = [0, 1, PART - 1, PART, PART + 1, 3 * PART + 12_345]


def some_bytes(size: int, seed: int = 0) -> bytes:
    return random.Random(seed).randbytes(size)


def write_in_pieces(writer: ObjectWriter, data: bytes, piece: int) -> None:
    for start in range(0, len(data), piece):
        writer.write(data[start : start + piece])


@pytest.mark.parametrize("size", SIZES)
def test_what_is_written_is_read(place: Place, size: int) -> None:
    data, uri = some_bytes(size), place.root.join("folder/model.safetensors")
    with place.store.open_write(uri, size) as writer:
        write_in_pieces(writer, data, 1_000_003)
        written = writer.close()
    info = place.store.head(uri)
    assert (written.uri, written.size, written.sha256) == (uri, size, hashlib.sha256(data).hexdigest())
    assert (info.uri, info.size) == (uri, size)
    assert abs(info.modified_at - datetime.now(UTC)) < timedelta(minutes=5)
    assert place.store.read(uri) == data
    assert place.store.read(uri, etag=info.etag) == data
    assert place.leftovers() == 0


def test_any_buffer_is_taken_and_may_be_reused_at_once(place: Place) -> None:
    numbers, buffer, uri = array("d", range(100_000)), bytearray(PART), place.root.join("x")
    expected = b""
    with place.store.open_write(uri, 3 * PART + numbers.itemsize * len(numbers)) as writer:
        for fill in (b"a", b"b", b"c"):
            buffer[:] = fill * PART
            writer.write(buffer)
            expected += bytes(buffer)
        buffer[:] = b"z" * PART
        writer.write(memoryview(numbers))
        writer.write(b"")
        sha256 = writer.close().sha256
    expected += numbers.tobytes()
    assert place.store.read(uri) == expected
    assert sha256 == hashlib.sha256(expected).hexdigest()


@pytest.mark.parametrize(("start", "length"), [(0, 1_000), (0, PART), (700, 100), (PART - 5, 5), (3, 0), (PART, 9)])
def test_reading_into_a_buffer(place: Place, start: int, length: int) -> None:
    data, uri = some_bytes(PART), place.root.join("x")
    etag = place.store.put(uri, data).etag
    buffer = bytearray(length)
    found = place.store.read_into(uri, memoryview(buffer), start, etag=etag)
    assert buffer[:found] == data[start : start + length]
    with pytest.raises(Changed):
        place.store.read_into(uri, memoryview(buffer), start, etag="another")
    assert place.store.read_into(uri, memoryview(bytearray(2 * PART)), start) == PART - start


def test_reading_into_a_buffer_what_is_not_there(place: Place) -> None:
    with pytest.raises(NotFound):
        place.store.read_into(place.root.join("x"), memoryview(bytearray(1)))


@pytest.mark.parametrize("size", [10, 2 * PART])
def test_an_object_is_replaced_only_by_close(place: Place, size: int) -> None:
    uri = place.root.join("x")
    place.store.put(uri, b"old")
    with place.store.open_write(uri, size) as writer:
        writer.write(b"n" * size)
        assert place.store.read(uri) == b"old"
        writer.close()
    assert place.store.read(uri) == b"n" * size


@pytest.mark.parametrize("size", [10, 3 * PART])
def test_abort_leaves_nothing(place: Place, size: int) -> None:
    with place.store.open_write(place.root.join("x"), size) as writer:
        writer.write(b"a" * (size - 1))
        writer.abort()
        writer.abort()
    assert list(place.store.list(place.root)) == []
    assert place.leftovers() == 0
    with pytest.raises(RuntimeError, match="aborted"):
        writer.write(b"a")


@pytest.mark.parametrize("size", [10, 3 * PART])
def test_an_exception_in_the_block_aborts(place: Place, size: int) -> None:
    def write_and_fail() -> None:
        with place.store.open_write(place.root.join("x"), size) as writer:
            writer.write(b"a" * size)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        write_and_fail()
    assert list(place.store.list(place.root)) == []
    assert place.leftovers() == 0


def test_leaving_the_block_unclosed_writes_nothing_and_says_so(place: Place) -> None:
    uri = place.root.join("x")
    with pytest.raises(RuntimeError, match="left open"), place.store.open_write(uri, 3) as writer:
        writer.write(b"abc")
    assert not place.store.exists(uri)
    assert place.leftovers() == 0


@pytest.mark.parametrize("size", [10, 2 * PART])
def test_too_many_bytes_are_refused_at_once(place: Place, size: int) -> None:
    with place.store.open_write(place.root.join("x"), size) as writer:
        writer.write(b"a" * size)
        with pytest.raises(WrongSize, match=f"More than the {size} bytes"):
            writer.write(b"a")
    assert list(place.store.list(place.root)) == []
    assert place.leftovers() == 0


@pytest.mark.parametrize("size", [10, 2 * PART])
def test_too_few_bytes_are_refused_by_close(place: Place, size: int) -> None:
    with place.store.open_write(place.root.join("x"), size) as writer:
        writer.write(b"a" * (size - 1))
        with pytest.raises(WrongSize, match=f"Only {size - 1} of the {size} bytes"):
            writer.close()
    assert list(place.store.list(place.root)) == []
    assert place.leftovers() == 0


@pytest.mark.parametrize(
    ("start", "length"), [(0, None), (0, 4), (3, 4), (3, None), (9, 1), (8, 20), (10, None), (10, 5), (50, 5), (5, 0)]
)
def test_ranges_are_read_as_slices(place: Place, start: int, length: int | None) -> None:
    data, uri = b"0123456789", place.root.join("x")
    etag = place.store.put(uri, data).etag
    expected = data[start : None if length is None else start + length]
    assert place.store.read(uri, start, length) == expected
    assert place.store.read(uri, start, length, etag=etag) == expected


def test_an_empty_object_is_read_as_nothing(place: Place) -> None:
    uri = place.root.join("x")
    place.store.put(uri, b"")
    assert place.store.read(uri) == place.store.read(uri, 0, 5) == place.store.read(uri, 5) == b""


@pytest.mark.parametrize(("start", "length"), [(0, None), (2, 3), (2, 0), (100, 3)])
def test_a_read_of_another_version_is_refused(place: Place, start: int, length: int | None) -> None:
    uri = place.root.join("x")
    etag = place.store.put(uri, b"0123456789").etag
    place.store.put(uri, b"01234567890")
    with pytest.raises(Changed, match="has changed"):
        place.store.read(uri, start, length, etag=etag)


def test_what_is_missing_is_not_found(place: Place) -> None:
    place.store.put(place.root.join("folder/x"), b"x")
    for name in ("nothing", "folder", "folder/x/y"):
        uri = place.root.join(name)
        assert not place.store.exists(uri)
        with pytest.raises(NotFound, match=name):
            place.store.head(uri)
        for start, length in ((0, None), (1, 2), (0, 0)):
            with pytest.raises(NotFound, match=name):
                place.store.read(uri, start, length)


def test_put_answers_as_head_does(place: Place) -> None:
    uri = place.root.join("folder/x")
    put, head = place.store.put(uri, b"abc"), place.store.head(uri)
    assert (put.uri, put.size, put.etag) == (head.uri, head.size, head.etag)
    assert abs(put.modified_at - head.modified_at) < timedelta(minutes=1)
    assert place.store.exists(uri)


def test_a_conditional_put_loses_to_what_is_there(place: Place) -> None:
    uri = place.root.join("manifest.json")
    assert place.store.put(uri, b"first", if_absent=True).size == 5
    if place.honours_conditions:
        # The same bytes are another write all the same.
        for data in (b"first", b"second"):
            with pytest.raises(AlreadyExists, match=r"manifest\.json"):
                place.store.put(uri, data, if_absent=True)
        assert place.store.read(uri) == b"first"
    else:
        place.store.put(uri, b"second", if_absent=True)
        assert place.store.read(uri) == b"second"
    assert place.leftovers() == 0


def test_a_race_of_conditional_puts_has_one_winner_where_they_are_honoured(place: Place) -> None:
    for round_ in range(5):
        uri = place.root.join(f"manifest-{round_}")

        def wins(racer: int, uri: Uri = uri) -> bool:
            try:
                place.store.put(uri, b"racer %d" % racer, if_absent=True)
            except AlreadyExists:
                return False
            return True

        with ThreadPoolExecutor(8) as racers:
            winners = [racer for racer, won in enumerate(racers.map(wins, range(8))) if won]
        if place.honours_conditions:
            assert len(winners) == 1
            assert place.store.read(uri) == b"racer %d" % winners[0]
        else:
            assert len(winners) == 8


def test_the_probe_tells_who_honours_conditions(place: Place) -> None:
    assert probe_conditional_put(place.store, place.root) is place.honours_conditions
    assert list(place.store.list(place.root)) == []


def test_list_is_sorted_and_keeps_to_its_prefix(place: Place) -> None:
    names = ["B", "a-b", "a.b", "a/x", "a/y/z", "a0", "ab/c", "z", "é", "a b?c#d%2e+&="]
    for name in (*(f"in/{name}" for name in names), "in2/x", "i", "other/in/x"):
        place.store.put(place.root.join(name), name.encode())
    prefix = place.root.join("in")
    found = list(place.store.list(prefix))
    assert [info.uri for info in found] == [prefix.join(name) for name in sorted(names, key=str.encode)]
    assert [info.size for info in found] == [len(f"in/{name}".encode()) for name in sorted(names, key=str.encode)]
    assert [info.etag for info in found] == [place.store.head(info.uri).etag for info in found]
    assert [info.uri for info in place.store.list(prefix.join("a"))] == [prefix.join("a/x"), prefix.join("a/y/z")]
    directly = sorted((name for name in names if "/" not in name), key=str.encode)
    assert [info.uri for info in place.store.list(prefix, deep=False)] == [prefix.join(name) for name in directly]
    assert [info.uri for info in place.store.list(prefix.join("a/y"), deep=False)] == [prefix.join("a/y/z")]
    assert list(place.store.list(place.root.join("missing"))) == []
    assert list(place.store.list(prefix.join("z"))) == []


def test_delete_is_idempotent(place: Place) -> None:
    uri = place.root.join("folder/x")
    place.store.put(uri, b"x")
    place.store.delete(uri)
    place.store.delete(uri)
    place.store.delete(place.root.join("missing/y"))
    assert not place.store.exists(uri)


def test_abort_uploads_sweeps_its_prefix_alone(place: Place) -> None:
    swept = place.store.open_write(place.root.join("in/folder/x"), 3 * PART)
    kept = place.store.open_write(place.root.join("in2/x"), 3 * PART)
    for writer in (swept, kept):
        write_in_pieces(writer, b"a" * 3 * PART, PART)
    assert place.leftovers() == 2
    assert list(place.store.list(place.root)) == []
    assert place.store.abort_uploads(place.root.join("in")) == 1
    assert place.store.abort_uploads(place.root.join("in")) == 0
    assert place.store.abort_uploads(place.root.join("missing")) == 0
    assert place.leftovers() == 1
    with pytest.raises(StorageError):
        swept.close()
    kept.close()
    assert [info.uri for info in place.store.list(place.root)] == [place.root.join("in2/x")]


def test_abort_uploads_picks_by_name(place: Place) -> None:
    writers = {name: place.store.open_write(place.root.join(f"in/{name}"), 3 * PART) for name in ("mine", "yours")}
    for writer in writers.values():
        write_in_pieces(writer, b"a" * 3 * PART, PART)
    assert place.store.abort_uploads(place.root.join("in"), lambda name: name == "mine") == 1
    with pytest.raises(StorageError):
        writers["mine"].close()
    writers["yours"].close()
    assert [info.uri.name for info in place.store.list(place.root)] == ["yours"]


def test_a_bucket_and_the_root_are_no_objects(place: Place) -> None:
    whole = Uri(place.root.scheme, place.root.bucket, "")
    for use in (place.store.head, place.store.read, place.store.delete, place.store.exists):
        with pytest.raises(InvalidUri):
            use(whole)
    with pytest.raises(InvalidUri):
        place.store.put(whole, b"")
    with pytest.raises(InvalidUri):
        place.store.open_write(whole, 0)


def test_what_is_prepared_is_there_at_the_first_use(moto: S3Server) -> None:
    storage = Storage(StorageSettings(s3=settings_for(moto)))
    storage.prepare()
    with patch("boto3.session.Session", side_effect=AssertionError("made only now")):
        assert not storage.exists(Uri("s3", moto.bucket, "missing"))


@pytest.mark.parametrize("wrong", [S3Settings(region="not a region"), S3Settings("http://my_minio:9000")])
def test_a_store_that_can_not_be_prepared_says_so_at_its_use(tmp_path: Path, wrong: S3Settings) -> None:
    storage = Storage(StorageSettings(s3=wrong))
    storage.prepare()
    assert not storage.exists(Uri.parse(f"file://{tmp_path}/missing"))
    with pytest.raises(StorageError, match="The S3 store can't be asked"):
        storage.exists(Uri("s3", "models", "missing"))


def test_one_storage_serves_both_schemes_and_many_threads(moto: S3Server, tmp_path: Path) -> None:
    storage = Storage(StorageSettings(s3=settings_for(moto)))
    places = [Uri.parse(f"s3://{moto.bucket}/threads"), Uri.parse(f"file://{tmp_path}")]

    def round_trip(number: int) -> bool:
        uri = places[number % 2].join(f"folder/{number}")
        storage.put(uri, b"%d" % number)
        return storage.read(uri) == b"%d" % number

    with ThreadPoolExecutor(8) as threads:
        assert all(threads.map(round_trip, range(40)))
