"""SHA-256 in a thread of its own, so that hashing, producing and sending overlap (hashlib lets go of the GIL)."""

import hashlib
from concurrent.futures import Future, ThreadPoolExecutor

from storage.store import Buffer


class SideHash:
    """Hashes buffers in the order they are given; each must stay as it is until its future is done."""

    def __init__(self) -> None:
        self._hash = hashlib.sha256()
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="sha256")

    def update(self, data: Buffer) -> Future[None]:
        """Queues `data`; the future is done when it has been hashed."""
        return self._thread.submit(self._hash.update, data)

    def hexdigest(self) -> str:
        """Of all that was given; ends the thread."""
        self.stop()
        return self._hash.hexdigest()

    def stop(self) -> None:
        """Waits for what was given and ends the thread."""
        self._thread.shutdown()
