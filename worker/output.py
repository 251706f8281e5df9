"""A job's output prefix: which names the job writes there, what in it is the job's own, and how that is removed.

Names are of two kinds. Shards (of an optimizer's state too), a fitted operator and pictures carry job and attempt, so
that two attempts never meet. The other files have fixed names; `growth.json` is put before them, only where none is,
and removed after them: while it names the job, the fixed names are the job's.

An attempt may stall for longer than its lease and wake in the middle of anything, while a later one is at work or has
committed. So it deletes by name what attempts up to its own have written, and nothing else; fixed names go when the
job has ended otherwise than in success, because there are no attempts then.
"""

import json
import re
from collections.abc import Callable
from typing import Literal

from growth.carried import CARRIED_FILES
from growth.header import INDEX_FILE
from growth.transfer_plan import TRAINING_FILE
from jobs.schema import Result
from storage import NotFound, ObjectStore, ObjectWriter, Uri, WrittenObject
from worker.errors import OutputExists
from worker.manifest import PICTURE, Commit, commit_of, manifest_uri, read_manifest, result_of

LINEAGE_FILE = "growth.json"
MAX_LINEAGE_BYTES = 16 << 20
"""Many times what a request may have; the start of a larger file is no job's."""
ShardKind = Literal["model", "optimizer"]
FIXED_FILES = ("config.json", *CARRIED_FILES, TRAINING_FILE, "README.md")
ATTEMPT_NAME = re.compile(r"(?:model|optimizer|operator|picture|commit|probe)-(.+)-a([1-9][0-9]*)[-.].+")


class Output:
    """The prefix as one job sees it."""

    def __init__(self, store: ObjectStore, uri: Uri, job_id: str) -> None:
        self.store = store
        self.uri = uri
        self.job_id = job_id

    def committed(self) -> Result | None:
        """The result of an attempt at this job that committed before. Raises OutputExists for another's checkpoint."""
        manifest = self.refuse_others_manifest()
        commit = self._own(manifest)
        return result_of(self.uri, manifest) if manifest is not None and commit and self._whole(commit) else None

    def refuse_others_manifest(self) -> bytes | None:
        """The manifest that is there. Raises OutputExists for another's."""
        manifest = read_manifest(self.store, self.uri)
        if self._others_manifest(manifest):
            raise self.taken(INDEX_FILE)
        return manifest

    def clear(self, attempt: int) -> None:
        """Removes what the attempts before this one left. Raises OutputExists where anything is not this job's."""
        if others := self._others():
            raise self.taken(min(others))
        if attempt > 1:
            self.remove_attempts(attempt - 1)

    def remove_attempts(self, last: int) -> None:
        """Deletes what attempts up to `last` wrote and did not commit, whole or in parts; an index over it first."""
        commit = self._own(read_manifest(self.store, self.uri))
        committed = commit is not None and self._whole(commit)
        if commit is not None and not committed and commit.attempt <= last:
            self.store.delete(manifest_uri(self.uri))
        kept = {stored.name for stored in commit.objects} if commit is not None and committed else set()
        for name in sorted(self._sizes().keys() - kept):
            if self._is_of(name, last):
                self.store.delete(self.uri.join(name))
        self.store.abort_uploads(self.uri, lambda name: self._is_of(name, last))

    def tidy(self, attempt: int) -> None:
        """Removes what attempts up to this one have left beside the commit, which stands."""
        self.remove_attempts(attempt)
        self.store.abort_uploads(self.uri, lambda name: name in (*FIXED_FILES, LINEAGE_FILE))

    def remove(self) -> None:
        """Deletes all that this job wrote, what makes it look whole first; others' objects stay.

        For a job that no attempt can work on any more.
        """
        own = self._own_names()
        for name in own:
            self.store.delete(self.uri.join(name))
        unfinished = {*FIXED_FILES, LINEAGE_FILE} if LINEAGE_FILE in own else set()
        self.store.abort_uploads(self.uri, lambda name: name in unfinished or self._is_of(name))

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

    def picture_name(self, attempt: int) -> str:
        return f"{self._stem(PICTURE, attempt)}.json"

    def commit_name(self, attempt: int) -> str:
        return f"{self._stem('commit', attempt)}.json"

    def probe_stem(self, attempt: int) -> str:
        return self._stem("probe", attempt)

    def taken(self, name: str) -> OutputExists:
        """The error for an object there that this job did not write."""
        return OutputExists(f"The output {self.uri} already holds {name}, which this job did not write.")

    def owned(self) -> bool:
        """Whether the fixed names are this job's."""
        try:
            return lineage_owner(self.store.read(self.uri.join(LINEAGE_FILE), 0, MAX_LINEAGE_BYTES)) == self.job_id
        except NotFound:
            return False

    def _others(self) -> set[str]:
        return set(self._sizes()) - set(self._own_names())

    def _own(self, manifest: bytes | None) -> Commit | None:
        commit = commit_of(manifest) if manifest is not None else None
        return commit if commit is not None and commit.job_id == self.job_id else None

    def _stem(self, kind: str, attempt: int) -> str:
        return f"{kind}-{self.job_id}-a{attempt}"

    def _sizes(self) -> dict[str, int]:
        def name(uri: Uri) -> str:
            return uri.key.removeprefix(self.uri.key).removeprefix("/")

        return {name(found.uri): found.size for found in self.store.list(self.uri)}

    def _own_names(self) -> list[str]:
        """In the order in which they are to be deleted."""
        present = self._sizes()
        own = sorted(filter(self._is_of, present))
        if not self.owned() or self._others_manifest(read_manifest(self.store, self.uri)):
            return own
        return [INDEX_FILE, *own, *(name for name in FIXED_FILES if name in present), LINEAGE_FILE]

    def _whole(self, commit: Commit) -> bool:
        # An attempt that stalled on its way to the commit may have lost shards to the next one meanwhile.
        present = self._sizes()
        return all(present.get(stored.name) == stored.size for stored in commit.objects)

    def _others_manifest(self, manifest: bytes | None) -> bool:
        return manifest is not None and self._own(manifest) is None

    def _is_of(self, name: str, last: int | None = None) -> bool:
        """Whether an attempt at this job, up to `last`, gave that name."""
        found = ATTEMPT_NAME.fullmatch(name)
        return found is not None and found[1] == self.job_id and (last is None or int(found[2]) <= last)


def lineage_owner(lineage: bytes) -> str | None:
    """The job that a `growth.json` names; None where it is another program's file."""
    try:
        parsed = json.loads(lineage)
    except (ValueError, RecursionError):
        return None
    return parsed.get("job_id") if isinstance(parsed, dict) else None
