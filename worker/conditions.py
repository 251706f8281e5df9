"""Which stores keep their word about conditional puts, found out once for each by a worker, by trying.

Where one does, a commit rests on it; where it does not, or does not answer, the job's record grants the commit.
"""

from threading import Lock, Thread

import structlog

from storage import ObjectStore, StorageError, Uri, probe_conditional_put

log = structlog.get_logger()


class Conditions:
    """What this process knows of the buckets, and of this machine's files."""

    def __init__(self) -> None:
        self._held: dict[tuple[str, str], bool] = {}
        self._asking = Lock()

    def held(self, store: ObjectStore, prefix: Uri, stem: str = ".probe") -> bool:
        """Whether exactly one of several racing conditional puts wins at `prefix`'s store.

        The first question about a store is answered by racing there, for objects whose names begin with `stem`.
        """
        place = (prefix.scheme, prefix.bucket)
        with self._asking:
            if place not in self._held:
                try:
                    self._held[place] = probe_conditional_put(store, prefix, stem)
                except StorageError as error:
                    log.warning("Conditional puts could not be tried; the record grants the commit", reason=str(error))
                    return False
                log.info("Conditional puts were tried", place=str(prefix), held=self._held[place])
            return self._held[place]

    def ask_early(self, store: ObjectStore, prefix: Uri) -> None:
        """In a thread of its own, for a worker that has no job yet."""
        Thread(target=self.held, args=(store, prefix), name="conditions", daemon=True).start()
