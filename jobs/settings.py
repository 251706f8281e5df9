"""What service and worker must agree on, from `GROW_*` environment variables."""

from pathlib import Path
from typing import Annotated, Self, TypedDict
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, HttpUrl, SecretStr, TypeAdapter, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

DAY_SECONDS = 86_400


def _local_state_uri() -> str:
    return f"file://{Path.home()}/.local/state/model-growth"


def _redis_url(text: str) -> str:
    try:
        given = urlsplit(text)
        usable = given.scheme in ("redis", "rediss") and given.hostname is not None and given.port != 0
    except ValueError:
        # Its text may hold a part of the password.
        usable = False
    if not usable:
        raise ValueError(
            "write redis://:password@host:6379/0, or rediss:// with TLS, special characters of the password as %xx"
        )
    return text


def http_url(text: str) -> str:
    """The same text. Raises ValueError where it is no `http://` or `https://` URL."""
    TypeAdapter(HttpUrl).validate_python(text)
    return text


class S3Access(TypedDict):
    """What `storage.S3Settings` takes of the operator's settings, the secret in plain text."""

    endpoint_url: str | None
    region: str | None
    access_key_id: str | None
    secret_access_key: str | None


class SharedSettings(BaseSettings):
    """Build one in the composition root and pass it on; nothing reads the environment later."""

    # Errors would show the passwords among them.
    model_config = SettingsConfigDict(
        env_prefix="GROW_", use_attribute_docstrings=True, frozen=True, hide_input_in_errors=True
    )

    redis_url: Annotated[str, AfterValidator(_redis_url)] = Field(default="redis://127.0.0.1:6379/0", repr=False)
    """Job records and the Celery broker: one single-node Redis 7 or Valkey, `appendonly yes`, `appendfsync always`."""
    queue: Annotated[str, Field(pattern=r"^[A-Za-z0-9._-]{1,80}$")] = "growth"
    """The Celery queue that workers listen on; one queue for each kind of machine."""

    s3_endpoint_url: Annotated[str, AfterValidator(http_url)] | None = None
    """A store other than AWS; requests can never name one."""
    s3_region: str | None = None
    """Left out: boto3's own choice."""
    s3_access_key_id: SecretStr | None = None
    """Left out, with the secret: boto3's own chain (environment, profile, instance role)."""
    s3_secret_access_key: SecretStr | None = None
    """Set together with the key's id, or not at all."""
    state_uri: str = Field(default_factory=_local_state_uri)
    """Where fits and trainings keep their checkpoints; `s3://` where a job may go on on another machine."""

    lease_seconds: Annotated[float, Field(gt=0)] = 60.0
    """A worker that is silent for longer may lose its job to another."""
    lease_renew_seconds: Annotated[float, Field(gt=0)] = 15.0
    """How often a worker renews; at most a third of the lease, so that two lost renewals do no harm."""
    max_attempts: Annotated[int, Field(ge=1)] = 3
    """Attempts after which a job that keeps losing its worker fails as `poison`."""

    idempotency_seconds: Annotated[int, Field(ge=1)] = DAY_SECONDS
    """How long an idempotency key is remembered."""
    record_retention_seconds: Annotated[int, Field(ge=1)] | None = None
    """Records and events of ended jobs are deleted this long after their end; left out, they are kept forever."""

    def s3_access(self) -> S3Access:
        """The S3 store and its credentials."""
        return S3Access(
            endpoint_url=self.s3_endpoint_url,
            region=self.s3_region,
            access_key_id=_shown(self.s3_access_key_id),
            secret_access_key=_shown(self.s3_secret_access_key),
        )

    def secrets(self) -> list[str]:
        """What must stand in no log, event or answer."""
        return [
            secret for secret in (urlsplit(self.redis_url).password, self.s3_access()["secret_access_key"]) if secret
        ]

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if 3 * self.lease_renew_seconds > self.lease_seconds:
            raise ValueError("GROW_LEASE_RENEW_SECONDS must be at most a third of GROW_LEASE_SECONDS.")
        if (self.s3_access_key_id is None) != (self.s3_secret_access_key is None):
            raise ValueError("Set both GROW_S3_ACCESS_KEY_ID and GROW_S3_SECRET_ACCESS_KEY, or neither.")
        retention = self.record_retention_seconds
        if retention is not None and retention < self.idempotency_seconds:
            raise ValueError(
                "GROW_RECORD_RETENTION_SECONDS must be at least GROW_IDEMPOTENCY_SECONDS: no key may outlive its job."
            )
        return self


def _shown(secret: SecretStr | None) -> str | None:
    return None if secret is None else secret.get_secret_value()
