"""API keys in Redis, as `grow keys` makes, lists and revokes them; every process of the service reads them there."""

import secrets
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

from jobs.keys import NAMESPACE, Keys
from jobs.scripts import connect, reaching_redis
from service.api_keys import LOOPBACK_OWNER, Prefixes, Quotas, Scope, StoredKey, hash_of

NO_QUOTAS = Quotas()
KEY_PREFIX = "grow_"
"""So that secret scanners know a key where they see one."""


class KeyStore:
    """Raises StoreUnavailable where Redis does not answer."""

    def __init__(self, redis_url: str, namespace: str = NAMESPACE) -> None:
        self._client = connect(redis_url)
        self._name = Keys(namespace).api_keys

    def close(self) -> None:
        self._client.close()

    def create(
        self,
        name: str,
        prefixes: Prefixes,
        scopes: tuple[Scope, ...],
        good_for: timedelta | None = None,
        quotas: Quotas = NO_QUOTAS,
    ) -> tuple[StoredKey, str]:
        """A new key as it is kept, and the key itself, which nobody can tell again. Raises ValueError."""
        if name == LOOPBACK_OWNER:
            raise ValueError(f"{LOOPBACK_OWNER!r} owns the jobs of loopback clients; choose another name.")
        key, now = KEY_PREFIX + secrets.token_urlsafe(32), datetime.now(UTC)
        made = StoredKey(
            id=f"key-{secrets.token_hex(6)}",
            name=name,
            key_sha256=hash_of(key),
            prefixes=prefixes,
            scopes=scopes,
            quotas=quotas,
            created_at=now,
            expires_at=None if good_for is None else now + good_for,
        )
        self._put(made)
        return made, key

    def find(self, key_sha256: str) -> StoredKey | None:
        """Whatever is known of a key, revoked or not."""
        with reaching_redis():
            found: Any = self._client.hget(self._name, key_sha256)
        return None if found is None else StoredKey.model_validate_json(found)

    def any(self) -> bool:
        """Whether a key was ever made; revoked ones count, so that the last one's end opens nothing."""
        with reaching_redis():
            return bool(self._client.hlen(self._name))

    def list(self) -> Iterator[StoredKey]:
        """Every key, the oldest first, revoked ones among them."""
        with reaching_redis():
            found: Any = self._client.hvals(self._name)
        yield from sorted(map(StoredKey.model_validate_json, found), key=lambda key: key.created_at)

    def revoke(self, key_id: str) -> StoredKey | None:
        """The key, refused from now on; None where no key has this id. Done twice, it is as done once."""
        for key in self.list():
            if key.id == key_id:
                revoked = key.model_copy(update={"revoked_at": key.revoked_at or datetime.now(UTC)})
                self._put(revoked)
                return revoked
        return None

    def _put(self, key: StoredKey) -> None:
        with reaching_redis():
            self._client.hset(self._name, key.key_sha256, key.model_dump_json())
