"""The stores that the contract is run against, each with an empty prefix of its own, and what is known about each."""

import secrets
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest

from storage import ObjectStore, S3Settings, Storage, Uri
from storage.s3 import S3Store
from storage.settings import S3_SMALLEST_PART
from tests.servers import S3Server, plain_client


@dataclass(frozen=True)
class Place:
    """A store and an empty prefix in it; `leftovers` counts, from outside, what an unfinished write has left there."""

    store: ObjectStore
    root: Uri
    honours_conditions: bool
    leftovers: Callable[[], int]


def settings_for(server: S3Server, *, endpoint_url: str | None = None) -> S3Settings:
    """The smallest parts that S3 allows, and little patience."""
    return S3Settings(
        endpoint_url=endpoint_url or server.endpoint_url,
        access_key_id=server.access_key,
        secret_access_key=server.secret_key,
        read_timeout_seconds=20.0,
        max_attempts=2,
        part_bytes=S3_SMALLEST_PART,
    )


@cache
def shared_store(settings: S3Settings) -> S3Store:
    """One client for all tests, because a client takes half a second to make."""
    return S3Store(settings)


def s3_place(server: S3Server, *, honours_conditions: bool) -> Place:
    root = Uri("s3", server.bucket, f"test-{secrets.token_hex(8)}")

    def leftovers() -> int:
        client = plain_client(server)
        try:
            return len(client.list_multipart_uploads(Bucket=server.bucket, Prefix=root.key).get("Uploads", []))
        except client.exceptions.NoSuchUpload:
            # rclone's word for none at all.
            return 0

    return Place(shared_store(settings_for(server)), root, honours_conditions, leftovers)


def file_place(folder: Path) -> Place:
    root = Uri.parse(f"file://{folder}/store")
    return Place(Storage(), root, True, lambda: len([path for path in folder.rglob(".*") if path.is_file()]))


@pytest.fixture(params=["file", "moto", "rclone"])
def place(request: pytest.FixtureRequest) -> Place:
    match request.param:
        case "file":
            return file_place(request.getfixturevalue("tmp_path"))
        case "moto":
            return s3_place(request.getfixturevalue("moto"), honours_conditions=True)
        case _:
            return s3_place(request.getfixturevalue("rclone"), honours_conditions=False)


@pytest.fixture
def moto_place(moto: S3Server) -> Place:
    return s3_place(moto, honours_conditions=True)
