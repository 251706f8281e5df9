"""The folder where a local service keeps everything, used by one `grow up` at a time."""

import fcntl
import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from client.errors import LocalServiceError

DEFAULT = Path("~/.local/state/model-growth")


class StateFolder:
    """Jobs in `redis/`, fits' checkpoints in `state/`, logs in `logs/`, and who uses it in `up.json`."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.redis = root / "redis"
        self.fits = root / "state"
        self.logs = root / "logs"
        self.holder = root / "up.json"

    @classmethod
    @contextmanager
    def taken(cls, root: Path) -> Iterator["StateFolder"]:
        """The folder, made where it is missing, for this process alone. Raises LocalServiceError."""
        state = cls(root.expanduser().resolve())
        try:
            for folder in (state.root, state.redis, state.fits, state.logs):
                folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            lock = state.holder.open("a+")
        except OSError as error:
            raise LocalServiceError(
                f"State can't be kept in {state.root}: {error.strerror}.", "Name another folder with --state-dir."
            ) from None
        with lock:
            state._lock(lock.fileno())
            state.describe({"pid": os.getpid()})
            yield state
            lock.truncate(0)

    def describe(self, holder: Mapping[str, Any]) -> None:
        """Leaves word of who uses the folder, for whoever tries next."""
        self.holder.write_text(json.dumps(holder))

    def _lock(self, descriptor: int) -> None:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = json.loads(self.holder.read_text() or "{}")
            place = f" at {holder['url']}" if "url" in holder else ""
            raise LocalServiceError(
                f"`grow up` (process {holder.get('pid', 'unknown')}) already serves {self.root}{place}.",
                "Use that one, stop it, or name another folder with --state-dir.",
            ) from None
