"""What the service may be told by its operator, from `GROW_*` environment variables, on top of what workers share."""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, TypeAdapter, ValidationError
from pydantic_settings import NoDecode

from jobs.settings import SharedSettings
from jobs.startup import sentences
from service.api_keys import LOOPBACK_OWNER, ApiKey, Prefix
from service.oidc import Oidc


def _split(value: object) -> object:
    return value.replace(",", " ").split() if isinstance(value, str) else value


class ServiceSettings(SharedSettings):
    """Built once in the composition root and passed on."""

    host: str = "127.0.0.1"
    """The address to listen on."""
    port: Annotated[int, Field(ge=0, le=65_535)] = 8000
    """0 picks a free one."""
    api_keys: tuple[ApiKey, ...] = ()
    """A JSON list of `{"name", "key_sha256", "prefixes": {"source": [], "data": [], "output": []}}`."""
    api_keys_file: Path | None = None
    """A file with such a list, read again whenever it changes. Without any key, here or by `grow keys`, clients on this
    machine's loopback alone are served."""
    oidc: Oidc | None = None
    """An identity provider whose tokens are taken as well, as a JSON object: `issuer`, `audience`, `jwks_url`,
    `prefixes` and what else docs/access.md lists."""
    allowed_prefixes: Annotated[tuple[Prefix, ...] | None, NoDecode, BeforeValidator(_split)] = None
    """For loopback clients without keys, separated by commas; left out, they may name anything."""
    webhook_hosts: Annotated[tuple[str, ...], NoDecode, BeforeValidator(_split)] = ()
    """Hosts, or `host:port`, to which webhooks may also go over http and on private networks, separated by commas."""
    log_format: Literal["console", "json"] = "console"
    """`json` writes one object a line, for a log collector."""

    def all_keys(self) -> tuple[ApiKey, ...]:
        """All API keys, those of the file read now. Raises ValueError for a file that can't be used or a double."""
        keys = (*self.api_keys, *self._keys_of_file())
        names, hashes = [key.name for key in keys], [key.key_sha256 for key in keys]
        if len(set(names)) < len(names) or len(set(hashes)) < len(hashes):
            raise ValueError("Two API keys have the same name or the same key; give each client its own.")
        if LOOPBACK_OWNER in names:
            raise ValueError(f"An API key is named {LOOPBACK_OWNER!r}, which owns the jobs of loopback clients.")
        return keys

    def _keys_of_file(self) -> tuple[ApiKey, ...]:
        if self.api_keys_file is None:
            return ()
        try:
            text = self.api_keys_file.read_bytes()
        except OSError as error:
            raise ValueError(f"GROW_API_KEYS_FILE {self.api_keys_file} can't be read: {error.strerror}.") from error
        try:
            return TypeAdapter(tuple[ApiKey, ...]).validate_json(text)
        except ValidationError as error:
            raise ValueError(" ".join(sentences(error, f"GROW_API_KEYS_FILE {self.api_keys_file}"))) from None
