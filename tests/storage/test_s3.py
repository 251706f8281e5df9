"""What is true of S3 alone: pages, credentials, the dialect of AWS, lost and spoilt answers, a dead server."""

import os
import secrets
import signal
import traceback
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest

from storage import (
    AccessDenied,
    AlreadyExists,
    NoSpace,
    NotFound,
    S3Settings,
    StorageError,
    Unavailable,
    Unsupported,
    Uri,
    probe_conditional_put,
)
from storage.s3 import S3Store
from storage.settings import S3_SMALLEST_PART as PART
from tests.servers import S3Server, moto_server, plain_client
from tests.storage.conftest import Place, settings_for, shared_store
from tests.storage.proxy import Fault, Proxy, answer_error, answer_whole, cut_body, lose_answer, lose_request, proxy_to

COMPLETE = "uploadId="


@pytest.fixture(scope="module")
def running_proxy(moto: S3Server) -> Iterator[Proxy]:
    with proxy_to(moto.endpoint_url) as running:
        yield running


@pytest.fixture
def proxy(running_proxy: Proxy) -> Proxy:
    running_proxy.rules.clear()
    return running_proxy


@pytest.fixture
def store(moto: S3Server, proxy: Proxy) -> S3Store:
    return shared_store(settings_for(moto, endpoint_url=proxy.endpoint_url))


@pytest.fixture
def uri(moto: S3Server) -> Uri:
    return Uri("s3", moto.bucket, f"test-{secrets.token_hex(8)}/x")


def write(store: S3Store, uri: Uri, data: bytes) -> None:
    with store.open_write(uri, len(data)) as writer:
        writer.write(data)
        writer.close()


def test_list_goes_through_all_pages(moto_place: Place, moto: S3Server) -> None:
    client, keys = plain_client(moto), [f"{moto_place.root.key}/{number:04}" for number in range(1003)]
    with ThreadPoolExecutor(8) as threads:
        list(threads.map(lambda key: client.put_object(Bucket=moto.bucket, Key=key, Body=b""), keys))
    assert [info.uri.key for info in moto_place.store.list(moto_place.root)] == keys


def test_list_passes_over_the_marks_that_consoles_set_for_folders(moto_place: Place, moto: S3Server) -> None:
    for key in (f"{moto_place.root.key}/", f"{moto_place.root.key}/folder/"):
        plain_client(moto).put_object(Bucket=moto.bucket, Key=key, Body=b"")
    assert list(moto_place.store.list(moto_place.root)) == []


def test_the_dialect_of_aws_round_trips(monkeypatch: pytest.MonkeyPatch, moto: S3Server, uri: Uri) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", moto.endpoint_url)
    store = S3Store(replace(settings_for(moto), endpoint_url=None, region="us-east-1"))
    data = os.urandom(2 * PART + 5)
    write(store, uri, data)
    assert store.read(uri) == data
    assert store.read(uri, 7, 9) == data[7:16]


def test_credentials_may_come_from_botos_own_chain(monkeypatch: pytest.MonkeyPatch, rclone: S3Server) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", rclone.access_key)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", rclone.secret_key)
    store = S3Store(S3Settings(endpoint_url=rclone.endpoint_url))
    assert not store.exists(Uri("s3", rclone.bucket, "missing"))


def test_a_client_that_can_not_be_made_is_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(StorageError, match="'not a region' doesn't match a supported format; correct its region"):
        S3Store(S3Settings(region="not a region"))
    wrong = S3Settings(endpoint_url="http://key:hunter2@my_minio:9000")
    with pytest.raises(StorageError, match="does not take its endpoint's host") as caught:
        S3Store(wrong)
    assert "hunter2" not in "".join(traceback.format_exception(caught.value))
    monkeypatch.setenv("AWS_PROFILE", "none")
    with pytest.raises(StorageError, match=r"profile \(none\) could not be found; correct its region or profile"):
        S3Store(S3Settings())


def test_wrong_credentials_are_denied_and_never_shown(rclone: S3Server) -> None:
    wrong = replace(settings_for(rclone), secret_access_key="hunter2-hunter2")
    uri = Uri("s3", rclone.bucket, "x")
    assert "hunter2" not in repr(wrong)
    assert rclone.access_key not in repr(wrong)
    with pytest.raises(AccessDenied, match="check the store's credentials") as caught:
        S3Store(wrong).put(uri, b"x")
    shown = "".join(traceback.format_exception(caught.value))
    assert "hunter2" not in shown
    assert rclone.secret_key not in shown


def test_a_missing_bucket_is_not_found(moto: S3Server) -> None:
    store, prefix = S3Store(settings_for(moto)), Uri("s3", "no-such-bucket", "x")
    with pytest.raises(NotFound, match="no-such-bucket"):
        store.put(prefix, b"x")
    with pytest.raises(NotFound, match="no-such-bucket"):
        list(store.list(prefix))
    with pytest.raises(NotFound, match="no-such-bucket"):
        write(store, prefix, bytes(2 * PART))
    assert store.abort_uploads(prefix) == 0


def test_a_put_whose_answer_is_lost_is_found_to_have_happened(store: S3Store, proxy: Proxy, uri: Uri) -> None:
    proxy.spoil("PUT", uri.key, lose_answer, times=2)
    assert store.put(uri, b"abc") == store.head(uri)


def test_a_put_that_never_arrives_is_unavailable(store: S3Store, proxy: Proxy, uri: Uri) -> None:
    store.put(uri, b"old")
    proxy.spoil("PUT", uri.key, lose_request, times=2)
    with pytest.raises(Unavailable, match="try again later") as caught:
        store.put(uri, b"new")
    assert caught.value.transient
    assert store.read(uri) == b"old"


def test_a_conditional_put_that_was_repeated_knows_its_own_first_try(store: S3Store, proxy: Proxy, uri: Uri) -> None:
    proxy.spoil("PUT", uri.key, lose_answer)
    assert store.put(uri, b"abc", if_absent=True) == store.head(uri)
    proxy.spoil("PUT", uri.key, lose_answer)
    with pytest.raises(AlreadyExists):
        store.put(uri, b"abc", if_absent=True)


def test_a_conditional_put_without_an_answer_is_not_taken_for_another_ones(
    store: S3Store, proxy: Proxy, uri: Uri
) -> None:
    store.put(uri, b"theirs")
    proxy.spoil("PUT", uri.key, lose_request, times=2)
    with pytest.raises(AlreadyExists):
        store.put(uri, b"theirs", if_absent=True)


def test_a_conflict_of_conditional_puts_may_be_tried_again(store: S3Store, proxy: Proxy, uri: Uri) -> None:
    proxy.spoil("PUT", uri.key, answer_error(409, "ConditionalRequestConflict", after_forwarding=False))
    with pytest.raises(Unavailable):
        store.put(uri, b"abc", if_absent=True)
    assert store.put(uri, b"abc", if_absent=True).size == 3


@pytest.mark.parametrize("fault", [lose_answer, answer_error(200, "InternalError", after_forwarding=True)])
def test_a_complete_whose_answer_is_lost_is_found_to_have_happened(
    store: S3Store, proxy: Proxy, uri: Uri, fault: Fault
) -> None:
    data = os.urandom(2 * PART)
    proxy.spoil("POST", COMPLETE, fault, times=2)
    write(store, uri, data)
    assert store.read(uri) == data


def test_a_complete_that_finds_no_upload_any_more_has_happened(store: S3Store, proxy: Proxy, uri: Uri) -> None:
    data = os.urandom(2 * PART)
    proxy.spoil("POST", COMPLETE, answer_error(404, "NoSuchUpload", after_forwarding=True))
    write(store, uri, data)
    assert store.read(uri) == data


def test_a_complete_answered_200_with_an_error_has_not_happened(
    store: S3Store, proxy: Proxy, uri: Uri, moto: S3Server
) -> None:
    store.put(uri, bytes(2 * PART))
    proxy.spoil("POST", COMPLETE, answer_error(200, "InternalError", after_forwarding=False), times=2)
    with pytest.raises(Unavailable, match="InternalError"):
        write(store, uri, os.urandom(2 * PART))
    assert store.read(uri) == bytes(2 * PART)
    assert "Uploads" not in plain_client(moto).list_multipart_uploads(Bucket=moto.bucket, Prefix=uri.key)


def test_a_part_that_is_lost_is_sent_again(store: S3Store, proxy: Proxy, uri: Uri) -> None:
    data = os.urandom(3 * PART)
    proxy.spoil("PUT", "partNumber=2", lose_request)
    proxy.spoil("PUT", "partNumber=3", lose_answer)
    write(store, uri, data)
    assert store.read(uri) == data


def test_a_part_that_can_t_be_sent_aborts_the_upload(store: S3Store, proxy: Proxy, uri: Uri, moto: S3Server) -> None:
    proxy.spoil("PUT", "partNumber=2", lose_request, times=2)
    with pytest.raises(Unavailable):
        write(store, uri, bytes(4 * PART))
    assert not store.exists(uri)
    assert "Uploads" not in plain_client(moto).list_multipart_uploads(Bucket=moto.bucket, Prefix=uri.key)


def test_an_upload_that_can_t_be_aborted_is_left_to_the_sweeper(
    store: S3Store, proxy: Proxy, uri: Uri, caplog: pytest.LogCaptureFixture
) -> None:
    proxy.spoil("DELETE", uri.key, lose_request, times=2)
    with store.open_write(uri, 3 * PART) as writer:
        writer.write(bytes(2 * PART))
        writer.abort()
    assert "left behind for abort_uploads" in caplog.text
    prefix = Uri.parse(str(uri).rpartition("/")[0])
    assert store.abort_uploads(prefix) == 1


@pytest.mark.parametrize(("start", "length"), [(0, 4), (3, 4), (3, None), (3_000_000, 100), (8, 2**22), (2**22, 5)])
def test_a_store_that_knows_no_ranges_is_read_rightly(
    store: S3Store, proxy: Proxy, uri: Uri, start: int, length: int | None
) -> None:
    data = os.urandom(2**22)
    etag = store.put(uri, data).etag
    proxy.spoil("GET", uri.key, answer_whole)
    assert store.read(uri, start, length, etag=etag) == data[start : None if length is None else start + length]


def test_an_answer_that_breaks_off_is_read_again(store: S3Store, proxy: Proxy, uri: Uri) -> None:
    data = os.urandom(2**20)
    store.put(uri, data)
    proxy.spoil("GET", uri.key, cut_body)
    assert store.read(uri, 5) == data[5:]
    proxy.spoil("GET", uri.key, cut_body, times=2)
    with pytest.raises(Unavailable):
        store.read(uri)


@pytest.mark.parametrize(
    ("status", "code", "kind"),
    [
        (400, "ExpiredToken", AccessDenied),
        (400, "InvalidRequest", StorageError),
        (401, "Unauthorized", AccessDenied),
        (403, "QuotaExceeded", NoSpace),
        (429, "TooManyRequests", Unavailable),
        (501, "NotImplemented", Unsupported),
        (503, "SlowDown", Unavailable),
        (507, "InsufficientStorage", NoSpace),
        (520, "Unknown", Unavailable),
    ],
)
def test_answers_are_told_in_our_words(
    store: S3Store, proxy: Proxy, uri: Uri, status: int, code: str, kind: type[StorageError]
) -> None:
    proxy.spoil("PUT", uri.key, answer_error(status, code, after_forwarding=False), times=2)
    with pytest.raises(StorageError, match=code) as caught:
        store.put(uri, b"x")
    assert type(caught.value) is kind


def test_a_store_that_refuses_conditions_does_not_honour_them(store: S3Store, proxy: Proxy, uri: Uri) -> None:
    proxy.spoil("PUT", uri.key, answer_error(501, "NotImplemented", after_forwarding=False), times=99)
    assert not probe_conditional_put(store, uri)


def test_a_server_that_dies_during_an_upload_is_unavailable() -> None:
    with moto_server() as server:
        store = S3Store(settings_for(server))
        uri = Uri("s3", server.bucket, "folder/x")

        def write_while_it_dies() -> None:
            with store.open_write(uri, 20 * PART) as writer:
                writer.write(bytes(2 * PART))
                os.kill(server.pid, signal.SIGKILL)
                for _ in range(18):
                    writer.write(bytes(PART))
                writer.close()

        with pytest.raises(Unavailable) as caught:
            write_while_it_dies()
        assert caught.value.transient
        for use in (store.head, store.read, store.exists, store.delete, store.abort_uploads):
            with pytest.raises(Unavailable):
                use(uri)


def test_parts_below_what_s3_takes_are_refused() -> None:
    with pytest.raises(ValueError, match="S3 takes no part below"):
        S3Settings(part_bytes=PART - 1)
