"""The one table from what botocore raises to what storage raises."""

from collections.abc import Iterator
from contextlib import contextmanager

from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    ConnectionError,
    CredentialRetrievalError,
    FlexibleChecksumError,
    HTTPClientError,
    IncompleteReadError,
    NoCredentialsError,
    PartialCredentialsError,
)

from storage.errors import (
    AccessDenied,
    AlreadyExists,
    Changed,
    NoSpace,
    NotFound,
    StorageError,
    Unavailable,
    Unsupported,
)
from storage.uri import Uri

_BY_CODE: dict[str, type[StorageError]] = {
    "ExpiredToken": AccessDenied,
    "InvalidToken": AccessDenied,
    "QuotaExceeded": NoSpace,
    "RequestTimeout": Unavailable,
    "XMinioStorageFull": NoSpace,
}
_BY_STATUS: dict[int, type[StorageError]] = {
    401: AccessDenied,
    403: AccessDenied,
    404: NotFound,
    408: Unavailable,
    # ConditionalRequestConflict, OperationAborted: another request was at work on the same key.
    409: Unavailable,
    429: Unavailable,
    501: Unsupported,
    507: NoSpace,
}
_BY_EXCEPTION: dict[type[BotoCoreError], type[StorageError]] = {
    ConnectionError: Unavailable,
    CredentialRetrievalError: AccessDenied,
    FlexibleChecksumError: Unavailable,
    HTTPClientError: Unavailable,
    IncompleteReadError: Unavailable,
    NoCredentialsError: AccessDenied,
    PartialCredentialsError: AccessDenied,
}
_SENTENCES: dict[type[StorageError], str] = {
    StorageError: "The store refused a request for {uri} ({code}): check its endpoint, region and bucket.",
    AccessDenied: "Access to {uri} was denied ({code}): check the store's credentials and what they may do.",
    AlreadyExists: "{uri} exists already: choose another name or delete it.",
    Changed: "{uri} has changed since it was first looked at: start again from the new version.",
    NoSpace: "The store has no space left for {uri} ({code}): free some or raise the quota.",
    NotFound: "{uri} does not exist ({code}): check the bucket and the key.",
    Unavailable: "The store gave no usable answer for {uri} ({code}): try again later.",
    Unsupported: "The store can't do what was asked for {uri} ({code}): use another store.",
}


@contextmanager
def storage_errors(uri: Uri) -> Iterator[None]:
    """Turns botocore's errors into storage's, with a sentence about `uri`."""
    try:
        yield
    except ClientError as error:
        raise _error(_kind_of_answer(error), uri, error.response["Error"]["Code"]) from error
    except BotoCoreError as error:
        raise _error(_kind_of_failure(error), uri, type(error).__name__) from error


def status_of(error: ClientError) -> int:
    """The HTTP status of the answer."""
    return error.response["ResponseMetadata"]["HTTPStatusCode"]


def _kind_of_answer(error: ClientError) -> type[StorageError]:
    status = status_of(error)
    if status == 412:
        return Changed if error.operation_name == "GetObject" else AlreadyExists
    if kind := _BY_CODE.get(error.response["Error"]["Code"]) or _BY_STATUS.get(status):
        return kind
    return Unavailable if status >= 500 else StorageError


def _kind_of_failure(error: BotoCoreError) -> type[StorageError]:
    return next((kind for raised, kind in _BY_EXCEPTION.items() if isinstance(error, raised)), StorageError)


def _error(kind: type[StorageError], uri: Uri, code: str) -> StorageError:
    return kind(_SENTENCES[kind].format(uri=uri, code=code))
