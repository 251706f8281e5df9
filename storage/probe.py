"""Whether a store keeps its word about conditional puts, found out by trying.

Some stores ignore the condition; others heed it in sequence and let several writers win a race. Both must be known
before a commit may rest on it.
"""

import secrets
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

from storage.errors import AlreadyExists, Unsupported
from storage.store import ObjectStore
from storage.uri import Uri

RACERS = 8
RACES = 2


def probe_conditional_put(store: ObjectStore, prefix: Uri, stem: str = ".probe") -> bool:
    """Whether exactly one of several writers wins `if_absent` under `prefix`.

    Leaves nothing behind; one that is interrupted leaves an object whose name begins with `stem`.
    """
    probed = prefix.join(stem)
    try:
        return _refuses_a_second_put(store, probed) and all(_has_one_winner(store, probed) for _ in range(RACES))
    except Unsupported:
        return False


def _refuses_a_second_put(store: ObjectStore, stem: Uri) -> bool:
    with _probe_object(store, stem) as uri:
        return _wins(store, uri) and not _wins(store, uri)


def _has_one_winner(store: ObjectStore, stem: Uri) -> bool:
    with _probe_object(store, stem) as uri, ThreadPoolExecutor(RACERS) as racers:
        return sum(racers.map(lambda _: _wins(store, uri), range(RACERS))) == 1


@contextmanager
def _probe_object(store: ObjectStore, stem: Uri) -> Iterator[Uri]:
    uri = stem.parent.join(f"{stem.name}-{secrets.token_hex(8)}")
    try:
        yield uri
    finally:
        store.delete(uri)


def _wins(store: ObjectStore, uri: Uri) -> bool:
    try:
        store.put(uri, b"probe", if_absent=True)
    except AlreadyExists:
        return False
    return True
