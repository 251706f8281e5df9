"""What can go wrong between us and a store, each told in one sentence.

StorageError
├── InvalidUri (ValueError)   not a URI that names bytes here
├── WrongSize (ValueError)    a writer was given fewer or more bytes than it was opened for
├── NotFound                  no such object, folder or bucket
├── AccessDenied              the store's rights, or a symbolic link, stand in the way
├── AlreadyExists             a conditional put lost: the object was there first
├── Changed                   the object is no longer the one whose etag was given
├── NoSpace                   the disk or the quota is full
├── Unsupported               the store can't do this at all
└── Unavailable (transient)   no answer, or an answer that asks to come back later

`transient` tells whether the same call may succeed later with nothing changed by anyone.
"""


class StorageError(Exception):
    """A store refused or failed: `str(error)` says what, where and what to do instead."""

    code = "storage_error"
    transient = False


class InvalidUri(StorageError, ValueError):
    code = "invalid_uri"


class WrongSize(StorageError, ValueError):
    code = "wrong_size"


class NotFound(StorageError):
    code = "not_found"


class AccessDenied(StorageError):
    code = "access_denied"


class AlreadyExists(StorageError):
    code = "already_exists"


class Changed(StorageError):
    code = "object_changed"


class NoSpace(StorageError):
    code = "no_space"


class Unsupported(StorageError):
    code = "unsupported_by_store"


class Unavailable(StorageError):
    code = "storage_unavailable"
    transient = True
