"""Bytes and keys: one interface over S3-compatible stores and local files."""

from storage.errors import (
    AccessDenied,
    AlreadyExists,
    Changed,
    InvalidUri,
    NoSpace,
    NotFound,
    StorageError,
    Unavailable,
    Unsupported,
    WrongSize,
)
from storage.open import Storage
from storage.probe import probe_conditional_put
from storage.settings import S3Settings, StorageSettings
from storage.store import ObjectInfo, ObjectStore, ObjectWriter, WrittenObject
from storage.uri import Uri, scheme_of

__all__ = [
    "AccessDenied",
    "AlreadyExists",
    "Changed",
    "InvalidUri",
    "NoSpace",
    "NotFound",
    "ObjectInfo",
    "ObjectStore",
    "ObjectWriter",
    "S3Settings",
    "Storage",
    "StorageError",
    "StorageSettings",
    "Unavailable",
    "Unsupported",
    "Uri",
    "WrittenObject",
    "WrongSize",
    "probe_conditional_put",
    "scheme_of",
]
