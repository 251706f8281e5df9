"""Writes one S3 object as it is produced: one request if it is small, else parts sent by a few threads.

Each byte is copied once, into the buffer of its part, because a part is sent while the caller already reuses what it
gave. Buffers of sent parts are filled again, so that the memory is theirs and no more.
"""

import logging
from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING, cast

from storage.errors import NotFound, StorageError
from storage.s3_client import as_body, place
from storage.s3_commit import WRITE_ID, complete, new_write_id, put_whole
from storage.s3_errors import storage_errors
from storage.settings import MIB, S3Settings
from storage.side_hash import SideHash
from storage.sized_writer import SizedWriter
from storage.store import WrittenObject
from storage.uri import Uri

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client
    from mypy_boto3_s3.type_defs import CompletedPartTypeDef, UploadPartOutputTypeDef

# S3 takes 10,000; the rest is room for stores that take a few less.
MAX_PARTS = 9_000
# Of one writer, unless two parts alone are more.
MAX_BUFFERED_BYTES = 256 * MIB

logger = logging.getLogger(__name__)


class S3Writer(SizedWriter):
    """See `ObjectWriter`; a multipart upload that can't be cleared away now is left to `abort_uploads`."""

    def __init__(self, client: "S3Client", settings: S3Settings, uri: Uri, size: int) -> None:
        super().__init__(uri, size)
        self._client = client
        self._place = place(uri)
        self._part_bytes = max(settings.part_bytes, -(-size // MAX_PARTS))
        self._most_in_flight = max(1, min(settings.upload_threads, MAX_BUFFERED_BYTES // self._part_bytes - 1))
        self._senders = ThreadPoolExecutor(settings.upload_threads, thread_name_prefix="s3-part")
        self._hash = SideHash()
        self._write_id = new_write_id()
        self._upload_id: str | None = None
        self._in_flight: deque[Future[bytearray]] = deque()
        self._sent: dict[int, CompletedPartTypeDef] = {}
        self._part_number = 1
        self._buffer = bytearray(min(size, self._part_bytes))
        self._filled = 0

    def _take(self, view: memoryview) -> None:
        while view:
            if self._filled == len(self._buffer):
                self._next_part()
            piece = view[: len(self._buffer) - self._filled]
            # Through a view, because a bytearray first copies what is assigned to a slice of it.
            with memoryview(self._buffer) as buffer:
                buffer[self._filled : self._filled + len(piece)] = piece
            self._filled += len(piece)
            view = view[len(piece) :]

    def _finish(self) -> WrittenObject:
        if self._size <= self._part_bytes:
            self._put()
        else:
            self._complete()
        written = WrittenObject(self._uri, self._size, self._hash.hexdigest())
        self._release()
        return written

    def _discard(self) -> None:
        self._release()
        if self._upload_id is None:
            return
        try:
            with storage_errors(self._uri):
                self._client.abort_multipart_upload(**self._place, UploadId=self._upload_id)
        except NotFound:
            return
        except StorageError as error:
            # Another error is on its way to the caller, and must not be hidden by this one.
            logger.warning("A multipart upload to %s is left behind for abort_uploads: %s", self._uri, error)

    def _release(self) -> None:
        self._senders.shutdown(cancel_futures=True)
        self._hash.stop()
        self._in_flight.clear()
        self._buffer = bytearray()

    def _put(self) -> None:
        self._hash.update(self._buffer)
        put_whole(self._client, self._uri, self._buffer, if_absent=False)

    def _complete(self) -> None:
        self._send_part()
        while self._in_flight:
            self._in_flight.popleft().result()
        parts = [self._sent[number] for number in sorted(self._sent)]
        complete(self._client, self._uri, self._open_upload(), parts, self._write_id)

    def _next_part(self) -> None:
        self._send_part()
        self._buffer = self._empty_buffer(
            min(self._part_bytes, self._size - self._part_bytes * (self._part_number - 1))
        )
        self._filled = 0

    def _send_part(self) -> None:
        hashed = self._hash.update(self._buffer)
        sending = self._senders.submit(self._upload, self._open_upload(), self._part_number, self._buffer, hashed)
        self._in_flight.append(sending)
        self._part_number += 1

    def _empty_buffer(self, length: int) -> bytearray:
        if len(self._in_flight) >= self._most_in_flight:
            used = self._in_flight.popleft().result()
            if len(used) == length:
                return used
        return bytearray(length)

    def _open_upload(self) -> str:
        if self._upload_id is None:
            with storage_errors(self._uri):
                answer = self._client.create_multipart_upload(**self._place, Metadata={WRITE_ID: self._write_id})
            self._upload_id = answer["UploadId"]
        return self._upload_id

    def _upload(self, upload_id: str, number: int, body: bytearray, hashed: Future[None]) -> bytearray:
        with storage_errors(self._uri):
            answer = self._client.upload_part(**self._place, UploadId=upload_id, PartNumber=number, Body=as_body(body))
        self._sent[number] = _completed(number, answer)
        hashed.result()
        return body


def _completed(number: int, answer: "UploadPartOutputTypeDef") -> "CompletedPartTypeDef":
    # AWS wants back the checksums that botocore sent along.
    checksums = {name: value for name, value in answer.items() if name.startswith("Checksum")}
    return cast("CompletedPartTypeDef", {"PartNumber": number, "ETag": answer["ETag"], **checksums})
