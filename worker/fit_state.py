"""What a job keeps between its attempts: where a fit stands, and which method was picked by its loss."""

import json
from collections.abc import Iterator
from hashlib import sha256

from storage import NotFound, ObjectInfo, ObjectStore, Uri

FIT_STATE = "fit-{}.safetensors"


class FitStates:
    """One of these, named as `name` says; of another version of what the job reads there is none."""

    def __init__(self, store: ObjectStore, folder: Uri, reads: list[Uri], name: str) -> None:
        self._store = store
        self._uri = folder.join(name.format(version_of(store, reads)))

    def load(self) -> bytes | None:
        """The state saved last; None where there is none."""
        try:
            return self._store.read(self._uri)
        except NotFound:
            return None

    def save(self, state: bytes) -> None:
        self._store.put(self._uri, state)


def kept(store: ObjectStore, state_uri: str, job_id: str, reads: list[Uri], name: str) -> FitStates:
    """What a job keeps under `name` of the version of `reads` that is there now."""
    return FitStates(store, state_folder(state_uri, job_id), reads, name)


def version_of(store: ObjectStore, reads: list[Uri]) -> str:
    """Another word for every version of what lies at `reads`."""
    versions = [[str(info.uri), info.etag] for uri in reads for info in _objects(store, uri)]
    return sha256(json.dumps(versions).encode()).hexdigest()[:16]


def state_folder(state_uri: str, job_id: str) -> Uri:
    """All that a job keeps between its attempts lies here."""
    return Uri.parse(state_uri).join(job_id)


def forget(store: ObjectStore, folder: Uri) -> None:
    """Deletes what a job that has ended kept, saved whole or not."""
    for info in store.list(folder):
        store.delete(info.uri)
    store.abort_uploads(folder)


def _objects(store: ObjectStore, uri: Uri) -> Iterator[ObjectInfo]:
    try:
        yield store.head(uri)
    except NotFound:
        yield from store.list(uri)
