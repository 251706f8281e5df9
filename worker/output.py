"""A job's output prefix: which names the job writes there, what in it is the job's own, and how that is removed.

Names are of two kinds. Shards (of an optimizer's state too) and a fitted operator carry job and attempt, so that two
attempts never meet. The other files have fixed names; `growth.json` is put before them, only where none is, and removed
after them: while it names the job, the fixed names are the job's.
"""

import json
from collections.abc import Callable, Iterable
from typing import Literal

from growth.header import INDEX_FILE
from growth.transfer_plan import TRAINING_FILE
from jobs.schema import Result
from storage import NotFound, ObjectStore, ObjectWriter, Uri, WrittenObject
from worker.carried import CARRIED_FILES
from worker.errors import OutputExists
from worker.manifest import commit_of, read_manifest, result_of

LINEAGE_FILE = "growth.json"
ShardKind = Literal["model", "optimizer"]
FIXED_FILES = ("config.json", *CARRIED_FILES, TRAINING_FILE, "README.md")


class Output:
    """The prefix as one job sees it."""

    def __init__(self, store: ObjectStore, uri: Uri, job_id: str) -> None:
        self.store = store
        self.uri = uri
        self.job_id = job_id

    def committed(self) -> Result | None:
        """The result of an attempt at this job that committed before. Raises OutputExists for another's checkpoint."""
        manifest = read_manifest(self.store, self.uri)
        if self._others_manifest(manifest):
            raise self.taken(INDEX_FILE)
        return result_of(self.uri, manifest) if manifest is not None and self._whole(manifest) else None

    def clear(self, *, attempts_before: bool) -> None:
        """Removes what dead attempts left. Raises OutputExists where anything is not this job's."""
        if others := self._others():
            raise self.taken(min(others))
        self.remove()
        if attempts_before:
            self.store.abort_uploads(self.uri)

    def remove(self) -> None:
        """Deletes all that this job wrote, what makes it look whole first; others' objects stay."""
        for name in self._own_names():
            self.store.delete(self.uri.join(name))

    def abort_uploads(self) -> None:
        """Clears away what this job's dead processes left unfinished; where others write, it can't be told apart."""
        if not self._others():
            self.store.abort_uploads(self.uri)

    def remove_losers(self) -> None:
        """Deletes shards of this job that its manifest does not name; there is one."""
        manifest = read_manifest(self.store, self.uri)
        commit = commit_of(manifest) if manifest is not None else None
        assert commit is not None
        kept = {stored.name for stored in commit.objects}
        for name in self._attempt_names(self._sizes().keys() - kept):
            self.store.delete(self.uri.join(name))

    def opener(self, attempt: int, shards: int, kind: ShardKind = "model") -> Callable[[int, int], ObjectWriter]:
        """What opens shard `index` of `shards` for a number of bytes."""
        return lambda index, nbytes: self.store.open_write(
            self.uri.join(self.shard_name(attempt, index, shards, kind)), nbytes
        )

    def put(self, name: str, data: bytes) -> WrittenObject:
        """Writes an object whole, and hashes it."""
        with self.store.open_write(self.uri.join(name), len(data)) as writer:
            writer.write(data)
            return writer.close()

    def shard_name(self, attempt: int, index: int, shards: int, kind: ShardKind = "model") -> str:
        return f"{self._stem(kind, attempt)}-{index + 1:05d}-of-{shards:05d}.safetensors"

    def optimizer_index_name(self, attempt: int) -> str:
        return f"{self._stem('optimizer', attempt)}.safetensors.index.json"

    def operator_name(self, attempt: int) -> str:
        return f"{self._stem('operator', attempt)}.safetensors"

    def taken(self, name: str) -> OutputExists:
        """The error for an object there that this job did not write."""
        return OutputExists(f"The output {self.uri} already holds {name}, which this job did not write.")

    def owned(self) -> bool:
        """Whether the fixed names are this job's."""
        try:
            return lineage_owner(self.store.read(self.uri.join(LINEAGE_FILE))) == self.job_id
        except NotFound:
            return False

    def _others(self) -> set[str]:
        return set(self._sizes()) - set(self._own_names())

    def _stem(self, kind: str, attempt: int) -> str:
        return f"{kind}-{self.job_id}-a{attempt}"

    def _sizes(self) -> dict[str, int]:
        def name(uri: Uri) -> str:
            return uri.key.removeprefix(self.uri.key).removeprefix("/")

        return {name(found.uri): found.size for found in self.store.list(self.uri)}

    def _own_names(self) -> list[str]:
        """In the order in which they are to be deleted."""
        present = self._sizes()
        own = self._attempt_names(present)
        if not self.owned() or self._others_manifest(read_manifest(self.store, self.uri)):
            return own
        return [INDEX_FILE, *own, *(name for name in FIXED_FILES if name in present), LINEAGE_FILE]

    def _whole(self, manifest: bytes) -> bool:
        # An attempt that stalled on its way to the commit may have lost shards to the next one meanwhile.
        commit, present = commit_of(manifest), self._sizes()
        return commit is not None and all(present.get(stored.name) == stored.size for stored in commit.objects)

    def _others_manifest(self, manifest: bytes | None) -> bool:
        if manifest is None:
            return False
        commit = commit_of(manifest)
        return commit is None or commit.job_id != self.job_id

    def _attempt_names(self, names: Iterable[str]) -> list[str]:
        stems = tuple(f"{kind}-{self.job_id}-a" for kind in ("model", "optimizer", "operator"))
        return sorted(name for name in names if name.startswith(stems))


def lineage_owner(lineage: bytes) -> str | None:
    """The job that a `growth.json` names; None where it is another program's file."""
    try:
        parsed = json.loads(lineage)
    except ValueError:
        return None
    return parsed.get("job_id") if isinstance(parsed, dict) else None
