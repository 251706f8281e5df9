"""What an API key stands for: whose jobs it submits, what it may do, and what its requests may name."""

from datetime import datetime
from hashlib import sha256
from typing import Annotated, Literal

from pydantic import AfterValidator, AwareDatetime, BaseModel, ConfigDict, Field, StringConstraints

from jobs.quotas import Quota
from storage import Uri

LOOPBACK_OWNER = "local"

Scope = Literal["jobs:read", "jobs:write", "admin"]
"""Reading; submitting, cancelling and trying again as well; and all of that for the jobs of every owner."""
Kind = Literal["source", "data", "tokenizer", "optimizer", "output"]
KINDS: tuple[Kind, ...] = ("source", "data", "tokenizer", "optimizer", "output")
SCOPES: tuple[Scope, ...] = ("jobs:read", "jobs:write", "admin")
READ_AND_WRITE: tuple[Scope, ...] = ("jobs:read", "jobs:write")


def _checked_prefix(text: str) -> str:
    Uri.parse(text)
    return text


Prefix = Annotated[str, AfterValidator(_checked_prefix)]
OwnerName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9._-]{1,64}$")]


class _Read(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)


class Prefixes(_Read):
    """What a key's requests may name: `s3://bucket/prefix`, `file:///folder`; nothing where the list is empty."""

    source: tuple[Prefix, ...] = ()
    """Checkpoints and fitted operators to read."""
    data: tuple[Prefix, ...] = ()
    """Corpora to read."""
    tokenizer: tuple[Prefix, ...] | None = None
    """Tokenizers of untrained sources; left out, what `source` has."""
    optimizer: tuple[Prefix, ...] | None = None
    """States of optimizers to read; left out, what `source` has."""
    output: tuple[Prefix, ...] = ()
    """Where grown checkpoints may be written."""

    def of(self, kind: Kind) -> tuple[Prefix, ...]:
        """The prefixes of one kind."""
        own: tuple[Prefix, ...] | None = getattr(self, kind)
        return self.source if own is None else own


class Quotas(_Read):
    """How much an owner may have at a time; what is left out has no limit."""

    queued: Annotated[int, Field(ge=0)] | None = None
    """Jobs that wait; a further one is answered with 429, and a further trial of a search waits until there is room."""
    running: Annotated[int, Field(ge=1)] | None = None
    """Jobs that run; further ones wait in the queue, and let others' go first."""
    bytes: Annotated[int, Field(ge=0)] | None = None
    """Of the checkpoints that queued and running jobs will write, and of the proxies that searches train side by side;
    a request that goes beyond is answered with 429."""

    def quota(self) -> Quota:
        """As the job store takes it."""
        return Quota(self.queued, self.running, self.bytes)


class ApiKey(_Read):
    """One client's key, which is known to nobody here; `printf %s "$KEY" | sha256sum` makes `key_sha256`."""

    name: OwnerName
    """The owner of the jobs submitted with this key."""
    key_sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$", repr=False)]
    """SHA-256 of a random key of at least 32 characters, in hex."""
    prefixes: Prefixes
    scopes: tuple[Scope, ...] = READ_AND_WRITE
    """`jobs:read`, `jobs:write`; `admin` is both, for the jobs of every owner."""
    quotas: Quotas = Quotas()
    """How much the owner may have at a time, counted over all of its keys."""
    expires_at: AwareDatetime | None = None
    """The moment from which the key is refused; left out, never."""

    def refused_because(self, moment: datetime) -> str | None:
        """Why the key is no longer good, in a word; None while it is."""
        return "expired" if self.expires_at is not None and self.expires_at <= moment else None


class StoredKey(ApiKey):
    """A key that `grow keys create` has made; several may be of one owner, so that keys can be changed one by one."""

    model_config = ConfigDict(extra="ignore")

    id: str
    """Names the key in lists and to revoke it; no secret."""
    created_at: AwareDatetime
    revoked_at: AwareDatetime | None = None

    def refused_because(self, moment: datetime) -> str | None:
        return "revoked" if self.revoked_at is not None else super().refused_because(moment)


def hash_of(key: str) -> str:
    """What is kept of a key. Keys are random, so that one plain hash is enough."""
    return sha256(key.encode()).hexdigest()
