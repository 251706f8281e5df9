"""`s3://` over boto3: AWS, and any store that speaks its protocol."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from typing import TYPE_CHECKING, TypeVar

from botocore.exceptions import BotoCoreError, ClientError

from storage.errors import Changed, NotFound
from storage.s3_client import bare_etag, make_client, place
from storage.s3_commit import look, put_whole
from storage.s3_errors import status_of, storage_errors
from storage.s3_writer import S3Writer
from storage.settings import MIB, S3Settings
from storage.store import ObjectInfo, any_name
from storage.uri import Uri

if TYPE_CHECKING:
    from botocore.response import StreamingBody
    from mypy_boto3_s3.type_defs import GetObjectOutputTypeDef, GetObjectRequestTypeDef

SKIP_BYTES = MIB
Read = TypeVar("Read")


class S3Store:
    """An `ObjectStore`; one client, which threads may share."""

    def __init__(self, settings: S3Settings) -> None:
        self._settings = settings
        self._client = make_client(settings)

    def head(self, uri: Uri) -> ObjectInfo:
        return look(self._client, uri).info

    def exists(self, uri: Uri) -> bool:
        try:
            self.head(uri)
        except NotFound:
            return False
        return True

    def list(self, prefix: Uri, *, deep: bool = True) -> Iterator[ObjectInfo]:
        pages = self._client.get_paginator("list_objects_v2").paginate(
            Bucket=prefix.bucket, Prefix=_under(prefix), Delimiter="" if deep else "/"
        )
        with storage_errors(prefix):
            for page in pages:
                for found in page.get("Contents", ()):
                    # Consoles make empty objects of such keys to show folders.
                    if not found["Key"].endswith("/"):
                        uri = Uri("s3", prefix.bucket, found["Key"])
                        yield ObjectInfo(uri, found["Size"], bare_etag(found["ETag"]), found["LastModified"])

    def read(self, uri: Uri, start: int = 0, length: int | None = None, *, etag: str | None = None) -> bytes:
        assert start >= 0
        assert length is None or length >= 0
        found = self._get(uri, start, length, etag, lambda body: body.read() if length is None else body.read(length))
        return b"" if found is None else found

    def read_into(self, uri: Uri, buffer: memoryview, start: int = 0, *, etag: str | None = None) -> int:
        assert start >= 0
        return self._get(uri, start, len(buffer), etag, lambda body: _fill(body, buffer)) or 0

    def put(self, uri: Uri, data: bytes, *, if_absent: bool = False) -> ObjectInfo:
        return put_whole(self._client, uri, data, if_absent=if_absent)

    def open_write(self, uri: Uri, size: int) -> S3Writer:
        return S3Writer(self._client, self._settings, uri, size)

    def delete(self, uri: Uri) -> None:
        try:
            with storage_errors(uri):
                self._client.delete_object(**place(uri))
        except NotFound:
            return

    def abort_uploads(self, prefix: Uri, named: Callable[[str], bool] = any_name) -> int:
        try:
            with storage_errors(prefix):
                picked = [upload for upload in self._uploads(prefix) if named(upload[0].rpartition("/")[2])]
                return sum(self._abort_upload(prefix, key, upload_id) for key, upload_id in picked)
        except NotFound:
            # So do some stores answer where there are no uploads at all.
            return 0

    def _uploads(self, prefix: Uri) -> Sequence[tuple[str, str]]:
        pages = self._client.get_paginator("list_multipart_uploads").paginate(
            Bucket=prefix.bucket, Prefix=_under(prefix)
        )
        return [(found["Key"], found["UploadId"]) for page in pages for found in page.get("Uploads", ())]

    def _abort_upload(self, prefix: Uri, key: str, upload_id: str) -> bool:
        try:
            with storage_errors(prefix):
                self._client.abort_multipart_upload(Bucket=prefix.bucket, Key=key, UploadId=upload_id)
        except NotFound:
            return False
        return True

    def _get(
        self, uri: Uri, start: int, length: int | None, etag: str | None, take: Callable[["StreamingBody"], Read]
    ) -> Read | None:
        """What `take` makes of the body from `start`; None where the object has no byte there."""
        if length != 0:
            with storage_errors(uri):
                try:
                    return self._take(uri, start, length, etag, take)
                except ClientError as error:
                    if status_of(error) != 416:
                        raise
        _check_etag(uri, self.head(uri).etag, etag)
        return None

    def _take(
        self, uri: Uri, start: int, length: int | None, etag: str | None, take: Callable[["StreamingBody"], Read]
    ) -> Read:
        request = _get_request(uri, start, length, etag)
        for tries_left in reversed(range(self._settings.max_attempts)):
            # botocore repeats a request until it is answered, but not the reading of the answer's body.
            answer = self._client.get_object(**request)
            try:
                with closing(answer["Body"]):
                    _check_etag(uri, bare_etag(answer["ETag"]), etag)
                    _skip_to(answer, start)
                    return take(answer["Body"])
            except BotoCoreError:
                if not tries_left:
                    raise
        raise AssertionError("max_attempts is at least 1")


def _under(prefix: Uri) -> str:
    return f"{prefix.key}/" if prefix.key else ""


def _get_request(uri: Uri, start: int, length: int | None, etag: str | None) -> "GetObjectRequestTypeDef":
    at = place(uri)
    request: GetObjectRequestTypeDef = {"Bucket": at["Bucket"], "Key": at["Key"]}
    if start or length is not None:
        request["Range"] = f"bytes={start}-{'' if length is None else start + length - 1}"
    if etag is not None:
        request["IfMatch"] = f'"{etag}"'
    return request


def _skip_to(answer: "GetObjectOutputTypeDef", start: int) -> None:
    # The header tells, not the status: some stores answer a range with 200, with that range or with the whole object.
    ranged = answer.get("ContentRange", "").startswith(f"bytes {start}-")
    to_skip = 0 if ranged else start
    while to_skip > 0 and (skipped := len(answer["Body"].read(min(to_skip, SKIP_BYTES)))):
        to_skip -= skipped


def _fill(body: "StreamingBody", buffer: memoryview) -> int:
    filled = 0
    # The stubs ask for a file, botocore for a buffer.
    while filled < len(buffer) and (count := body.readinto(buffer[filled:])):  # type: ignore[arg-type]
        filled += count
    return filled


def _check_etag(uri: Uri, found: str, expected: str | None) -> None:
    # Not every store heeds If-Match.
    if expected not in (None, found):
        raise Changed(f"{uri} has changed since it was first looked at: start again from the new version.")
