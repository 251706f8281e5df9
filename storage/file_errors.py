"""The one table from what the operating system raises to what storage raises."""

import errno
from collections.abc import Iterator
from contextlib import contextmanager

from storage.errors import (
    AccessDenied,
    AlreadyExists,
    InvalidUri,
    NoSpace,
    NotFound,
    StorageError,
    Unavailable,
    Unsupported,
)
from storage.uri import Uri

_KINDS: dict[int, tuple[type[StorageError], str]] = {
    errno.EACCES: (AccessDenied, "this process may not read or write there: change its rights"),
    errno.EPERM: (AccessDenied, "this process may not read or write there: change its rights"),
    errno.EROFS: (AccessDenied, "the file system is read-only: use another folder"),
    errno.ELOOP: (AccessDenied, "it is a symbolic link, which is never followed: give the place of the file itself"),
    errno.EISDIR: (AccessDenied, "it is a folder: choose another name"),
    errno.EEXIST: (AlreadyExists, "it exists already: choose another name or delete it"),
    errno.ENAMETOOLONG: (InvalidUri, "the path is too long: use a shorter one"),
    errno.ENOENT: (NotFound, "it does not exist: check the path"),
    errno.ENOTDIR: (NotFound, "a part of the path is a file, not a folder: check the path"),
    errno.ENOSPC: (NoSpace, "the disk has too little space left: free some or use another disk"),
    errno.EDQUOT: (NoSpace, "the disk quota has too little space left: free some or use another disk"),
    errno.EFBIG: (NoSpace, "the file is larger than this disk or process may hold: use another disk"),
    errno.EOPNOTSUPP: (Unsupported, "the file system can't do this: use another disk"),
    errno.EIO: (Unavailable, "the disk failed: try again later"),
    errno.ESTALE: (Unavailable, "the network file system moved: try again later"),
    errno.ETIMEDOUT: (Unavailable, "the network file system did not answer: try again later"),
}


@contextmanager
def file_errors(uri: Uri) -> Iterator[None]:
    """Turns OSError into storage's errors, with a sentence about `uri`."""
    try:
        yield
    except OSError as error:
        kind, reason = _KINDS.get(error.errno or 0, (StorageError, f"{error.strerror}: check the disk"))
        raise kind(f"{uri} can't be used, because {reason}.") from error
