"""Why a request is refused, where neither the engine, the job store nor storage says it.

ServiceError
├── Unauthorized          no API key or token, or one that is unknown, expired or revoked
├── ProviderSilent        the identity provider whose tokens are taken shows no keys to check them with
├── NotLoopback           no keys are configured, and the client is not on this machine
├── ScopeRequired         the key is good, but not for this
├── PrefixNotAllowed      a URI outside of what this client may name
├── WebhookRefused        a webhook's address that nothing may be sent to
├── DataRequired          a method that fits, without data to fit on
├── InvalidSearchSpace    a search over it can't be made as asked
├── SourceNotFound        nothing lies at the source
├── OutputOverlaps        the output is inside of what is read, or around it
├── OutputExists          something lies at the output already
├── NoOperatorPicture     the job has left no picture of its operator, or it is gone
└── StorageRefused        a store would not let us look at a URI of a request or of a job
    └── StorageSilent     it did not answer; the same request may succeed later
"""

from storage import StorageError


class ServiceError(Exception):
    """`str(error)` says what, where and what to do instead; `field` is a JSON pointer into the request's body."""

    code = "refused"
    field: str | None = None

    def __init__(self, sentence: str, *, field: str | None = None, hint: str | None = None) -> None:
        super().__init__(sentence)
        self.hint = hint
        if field is not None:
            self.field = field


class Unauthorized(ServiceError):
    code = "unauthorized"


class ProviderSilent(ServiceError):
    code = "provider_silent"


class NotLoopback(ServiceError):
    code = "not_loopback"


class ScopeRequired(ServiceError):
    code = "scope_required"


class PrefixNotAllowed(ServiceError):
    code = "prefix_not_allowed"


class WebhookRefused(ServiceError):
    code = "invalid_webhook"
    field = "/webhook"


class DataRequired(ServiceError):
    code = "data_required"
    field = "/data"


class InvalidSearchSpace(ServiceError):
    code = "invalid_search_space"
    field = "/search_space"


class SourceNotFound(ServiceError):
    code = "source_not_found"
    field = "/source"


class OutputOverlaps(ServiceError):
    code = "output_overlaps"
    field = "/output"


class OutputExists(ServiceError):
    code = "output_exists"
    field = "/output"


class NoOperatorPicture(ServiceError):
    code = "no_operator_picture"


class StorageRefused(ServiceError):
    """Takes its sentence and its code from what storage raised."""

    def __init__(self, error: StorageError, field: str | None) -> None:
        super().__init__(str(error), field=field)
        self.code = error.code


class StorageSilent(StorageRefused):
    pass
