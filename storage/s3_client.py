"""The boto3 client of one endpoint, and how a `Uri` is said to it."""

from typing import TYPE_CHECKING, TypedDict, cast

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError

from storage.errors import InvalidUri, StorageError
from storage.settings import S3Settings
from storage.uri import Uri

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

POOLED_CONNECTIONS = 32


class Place(TypedDict):
    """The two arguments that every request about an object takes."""

    Bucket: str
    Key: str


def make_client(settings: S3Settings) -> "S3Client":
    """A client for `settings`; AWS itself gets botocore's defaults, every other store the plainest dialect of S3.

    Raises StorageError where boto3 can't make one of the settings and of what it finds on this machine.
    """
    config = Config(
        connect_timeout=settings.connect_timeout_seconds,
        read_timeout=settings.read_timeout_seconds,
        retries={"mode": "standard", "total_max_attempts": settings.max_attempts},
        max_pool_connections=POOLED_CONNECTIONS,
    )
    if settings.endpoint_url is not None:
        config = config.merge(_plain_dialect())
    try:
        # A session of our own, because boto3's default one may not be shared by threads.
        return boto3.session.Session().client(
            "s3",
            endpoint_url=settings.endpoint_url,
            region_name=settings.region,
            aws_access_key_id=settings.access_key_id,
            aws_secret_access_key=settings.secret_access_key,
            config=config,
        )
    except BotoCoreError as error:
        reason = str(error).removesuffix(".")
        raise StorageError(f"The S3 store can't be asked: {reason}; correct its region or profile.") from error
    except ValueError:
        # Its text has the whole URL, and with it what may stand there as a password.
        raise StorageError(
            "The S3 store can't be asked: boto3 does not take its endpoint's host, which may have letters, digits, "
            "hyphens and dots; use such a name."
        ) from None


def _plain_dialect() -> Config:
    return Config(
        signature_version="s3v4",
        s3={"addressing_style": "path"},
        request_checksum_calculation="when_required",
        response_checksum_validation="when_required",
    )


def place(uri: Uri) -> Place:
    """Bucket and key of an object; raises InvalidUri for a whole bucket."""
    if not uri.key:
        raise InvalidUri(f"{uri} names a bucket, not an object: add a key.")
    return {"Bucket": uri.bucket, "Key": uri.key}


def as_body(data: bytes | bytearray) -> bytes:
    """The same object: botocore takes bytearrays, its type stubs do not say so."""
    return cast("bytes", data)


def bare_etag(etag: str) -> str:
    """Without the quotes, which some stores send in one answer and leave out in another."""
    return etag.strip('"')
