"""Which API keys are good now: those of the settings, of the watched file, and of Redis.

What was looked up is remembered for `REMEMBERED_SECONDS`; so long at most does a key that was revoked, in whatever
process, go on being taken.
"""

import time
from collections.abc import Callable
from pathlib import Path

import structlog

from jobs.errors import StoreUnavailable
from service.api_keys import ApiKey
from service.key_store import KeyStore
from service.settings import ServiceSettings

REMEMBERED_SECONDS = 0.5
MOST_REMEMBERED = 4096

log = structlog.get_logger(__name__)
_Mark = tuple[int, int, int] | None


class Keyring:
    """For any number of threads. Raises ValueError where the settings' keys can't be used at the start."""

    def __init__(self, settings: ServiceSettings, store: KeyStore, clock: Callable[[], float] = time.monotonic) -> None:
        self._settings = settings
        self._store = store
        self._clock = clock
        self._mark = _mark_of(settings.api_keys_file)
        self._fixed = {key.key_sha256: key for key in settings.all_keys()}
        self._remembered: dict[str, tuple[float, ApiKey | None]] = {}
        self._stored: tuple[float, bool] | None = None

    def close(self) -> None:
        self._store.close()

    def remembered(self, key_sha256: str) -> ApiKey | None:
        """The key, where it was looked up a moment ago; never blocks."""
        until, key = self._remembered.get(key_sha256, (0.0, None))
        return key if self._clock() < until else None

    def look_up(self, key_sha256: str) -> ApiKey | None:
        """The key, whether it is still good or not. May take a while, and raises StoreUnavailable."""
        self._watch_file()
        key = self._fixed.get(key_sha256) or self._store.find(key_sha256)
        if len(self._remembered) >= MOST_REMEMBERED:
            self._remembered.clear()
        self._remembered[key_sha256] = (self._clock() + REMEMBERED_SECONDS, key)
        return key

    def known_in_use(self) -> bool | None:
        """What `in_use` says, where that is known without a look; never blocks."""
        if self._fixed:
            return True
        return self._stored[1] if self._stored is not None and self._clock() < self._stored[0] else None

    def in_use(self) -> bool:
        """Whether there are any keys, so that clients must have one. Raises StoreUnavailable where nobody can know."""
        self._watch_file()
        if self._fixed:
            return True
        try:
            stored = self._store.any()
        except StoreUnavailable:
            if self._stored is None:
                raise
            stored = self._stored[1]
        self._stored = (self._clock() + REMEMBERED_SECONDS, stored)
        return stored

    def _watch_file(self) -> None:
        mark = _mark_of(self._settings.api_keys_file)
        if mark == self._mark:
            return
        self._mark = mark
        try:
            self._fixed = {key.key_sha256: key for key in self._settings.all_keys()}
        except ValueError as error:
            # Half a file, or a slip of the pen: it must neither shut everybody out nor let anybody in.
            log.error("the changed API keys can't be used; those of before stay good", reason=str(error))


def _mark_of(file: Path | None) -> _Mark:
    """Moves whenever the file is written or replaced."""
    if file is None:
        return None
    try:
        found = file.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size, found.st_ino
