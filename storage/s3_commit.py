"""The requests that make an object visible, and whether they did when their answer was lost.

Every write carries an id of its own in the object's metadata. After a time-out, a 5xx, or a lost condition (which may
be our own first try, repeated by botocore) the object is looked at: if it carries our id the write has happened, and
otherwise the error stands. Stores that drop metadata thus turn a lost answer into an error, never into a false success.
"""

import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING

from storage.errors import AlreadyExists, NotFound, StorageError, Unavailable
from storage.s3_client import as_body, bare_etag, place
from storage.s3_errors import storage_errors
from storage.store import ObjectInfo
from storage.uri import Uri

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client
    from mypy_boto3_s3.type_defs import CompletedPartTypeDef, PutObjectOutputTypeDef, PutObjectRequestTypeDef

WRITE_ID = "write-id"


@dataclass(frozen=True)
class Seen:
    """An object as the store shows it, and the id of the write that made it."""

    info: ObjectInfo
    write_id: str | None


def new_write_id() -> str:
    return secrets.token_hex(16)


def look(client: "S3Client", uri: Uri) -> Seen:
    """Raises NotFound."""
    with storage_errors(uri):
        answer = client.head_object(**place(uri))
    info = ObjectInfo(uri, answer["ContentLength"], bare_etag(answer["ETag"]), answer["LastModified"])
    metadata = {key.lower(): value for key, value in answer["Metadata"].items()}
    return Seen(info, metadata.get(WRITE_ID))


def put_whole(client: "S3Client", uri: Uri, body: bytes | bytearray, *, if_absent: bool) -> ObjectInfo:
    """Writes an object in one request; with `if_absent` raises AlreadyExists if another write was first."""
    write_id = new_write_id()
    at = place(uri)
    request: PutObjectRequestTypeDef = {
        "Bucket": at["Bucket"],
        "Key": at["Key"],
        "Body": as_body(body),
        "Metadata": {WRITE_ID: write_id},
    }
    if if_absent:
        request["IfNoneMatch"] = "*"

    def put() -> ObjectInfo:
        answer = client.put_object(**request)
        return ObjectInfo(uri, len(body), bare_etag(answer["ETag"]), _answered_at(answer))

    written = _settled(client, uri, write_id, put, if_absent=if_absent)
    assert written is not None
    return written


def complete(
    client: "S3Client", uri: Uri, upload_id: str, parts: Sequence["CompletedPartTypeDef"], write_id: str
) -> None:
    """Completes a multipart upload that was created with `write_id` in its metadata.

    The object is not looked at: its parts are named by their etags, and some stores read a whole object to show it.
    """

    def complete_upload() -> None:
        client.complete_multipart_upload(**place(uri), UploadId=upload_id, MultipartUpload={"Parts": parts})

    _settled(client, uri, write_id, complete_upload, if_absent=False)


def _settled(
    client: "S3Client", uri: Uri, write_id: str, write: Callable[[], ObjectInfo | None], *, if_absent: bool
) -> ObjectInfo | None:
    try:
        with storage_errors(uri):
            return write()
    except (AlreadyExists, NotFound, Unavailable) as error:
        # NotFound: a repeated Complete finds no upload any more if the first one had succeeded.
        return _ours(client, uri, write_id, error, if_absent=if_absent)


def _ours(client: "S3Client", uri: Uri, write_id: str, lost: StorageError, *, if_absent: bool) -> ObjectInfo:
    try:
        seen = look(client, uri)
    except StorageError:
        raise lost from None
    if seen.write_id == write_id:
        return seen.info
    if if_absent:
        raise AlreadyExists(f"{uri} exists already: choose another name or delete it.") from lost
    raise lost


def _answered_at(answer: "PutObjectOutputTypeDef") -> datetime:
    return parsedate_to_datetime(answer["ResponseMetadata"]["HTTPHeaders"]["date"]).astimezone(UTC)
