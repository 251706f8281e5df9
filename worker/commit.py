"""The end of a job: the small files beside the shards, and the manifest that makes them a checkpoint.

The manifest is put only where none is, and directly before it the lease is renewed: who no longer holds the job does
not commit. On a store that does not keep such conditions (`worker/conditions.py`) the job's record decides: the
manifest first goes under a name of the attempt's own, then the record takes this attempt's number, fenced by the lease,
and only then come the same bytes under the name that readers know. An attempt that finds a number in the record puts
that one's manifest, so that whoever wakes late writes what is there already.
"""

import json
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from hashlib import sha256
from importlib.metadata import version

import structlog

from growth.carried import CARRIED_FILES
from growth.errors import InvalidCheckpoint
from growth.plan import GrowthPlan
from growth.transfer_plan import TRAINING_FILE
from jobs.schema import FitReport, Plan, PretrainingReport, Result, Verification
from storage import AlreadyExists, NotFound, ObjectStore, StorageError, Unavailable, Uri, WrittenObject
from storage.folder import Folder
from worker.card_metadata import MAX_CARD_BYTES
from worker.manifest import Commit, Lineage, StoredObject, manifest_bytes, manifest_uri, read_commit, result_of
from worker.messages import Work
from worker.model_card import model_card
from worker.output import LINEAGE_FILE, Output
from worker.training import training_of

MAX_CARRIED_BYTES = 64 << 20
PUT_AT_ONCE = 4
PACKAGES = ("model-growth", "safetensors", "torch", "transformers")

_SmallFile = tuple[str, Callable[[], bytes]]
"""A name, and what makes its bytes."""

log = structlog.get_logger()


@dataclass(frozen=True)
class Fitted:
    """What a fit left: the operator's file, and how it went."""

    operator: WrittenObject
    report: FitReport


@dataclass(frozen=True)
class Grown:
    """What the stages before the commit made."""

    shards: list[WrittenObject]
    state: list[WrittenObject]
    """The optimizer's."""
    pretraining: PretrainingReport | None
    fit: Fitted | None
    picture: WrittenObject
    """Of the operator."""
    verification: Verification | None
    stage_seconds: Mapping[str, float]


def commit(
    output: Output, work: Work, plan: GrowthPlan, source: Folder, grown: Grown, still_holds: Callable[[], None]
) -> Result:
    """Writes the files beside the shards, then the manifest; `still_holds` raises where it must not come to that.

    The result is another attempt's where that one committed first. Raises OutputExists where another job did.
    """
    small = _put_small_files(output, work, _small_files(work, plan, source))
    large = [*grown.shards, *grown.state, *([grown.fit.operator] if grown.fit else []), grown.picture]
    made = Commit(
        job_id=output.job_id,
        attempt=work.attempt,
        started_at=work.started_at,
        objects=[*map(_stored, large), *small],
        pretraining=grown.pretraining,
        fit=grown.fit.report if grown.fit else None,
        verification=grown.verification,
        selection=Plan.model_validate(plan.summary()).selection,
        stage_seconds=dict(grown.stage_seconds),
    )
    data = manifest_bytes(made, _weight_map(plan, grown.shards), plan.target_bytes)
    if work.conditional:
        result = _put_manifest(output, data, still_holds)
    else:
        output.put(output.commit_name(work.attempt), data)
        still_holds()
        result = _put_granted(output, data)
    _tidy(output, work.attempt)
    return result


def committed_before(output: Output, attempt: int, granted: int | None) -> Result | None:
    """What an attempt before this one has committed, or was about to when the record had `granted` it the commit.

    Raises OutputExists where another job did.
    """
    result = output.committed()
    if result is None and granted is not None:
        try:
            result = _put_granted(output, read_commit(output.store, output.uri.join(output.commit_name(granted))))
        except NotFound:
            return None
    if result is not None:
        _tidy(output, attempt)
    return result


def _small_files(work: Work, plan: GrowthPlan, source: Folder) -> list[_SmallFile]:
    """The same in every attempt at a job; the lineage first, because it marks the others as ours."""
    names = set(source.names())
    training = training_of(work.request, plan)

    def card() -> bytes:
        of_source = source.read("README.md", 0, MAX_CARD_BYTES) if "README.md" in names else b""
        known = "modules.json" in names
        return model_card(work.request, plan, of_source, training, sentence_transformer=known).encode()

    return [
        (LINEAGE_FILE, lambda: _lineage(work, plan)),
        ("config.json", lambda: _json(plan.target.raw)),
        *((name, partial(_carried, source, name)) for name in CARRIED_FILES if name in names),
        (TRAINING_FILE, lambda: _json(training)),
        ("README.md", card),
    ]


def _put_small_files(output: Output, work: Work, files: list[_SmallFile]) -> list[StoredObject]:
    """The first before all others, and these side by side: a store takes longer to answer than to write."""
    put = partial(_put_small_file, output, work)
    with ThreadPoolExecutor(PUT_AT_ONCE, "small-file") as threads:
        return [put(files[0]), *threads.map(put, files[1:])]


def _put_small_file(output: Output, work: Work, file: _SmallFile) -> StoredObject:
    name, made = file
    uri, data = output.uri.join(name), made()
    try:
        _put_if_absent(output.store, uri, data, conditional=work.conditional)
    except AlreadyExists:
        if output.store.read(uri, 0, len(data) + 1) != data:
            if not output.owned() or output.committed() is not None:
                raise output.taken(name) from None
            # By an attempt of another version of this program.
            output.store.put(uri, data)
    return StoredObject(name=name, size=len(data), sha256=sha256(data).hexdigest())


def _put_manifest(output: Output, data: bytes, still_holds: Callable[[], None]) -> Result:
    uri = manifest_uri(output.uri)
    still_holds()
    try:
        output.store.put(uri, data, if_absent=True)
    except Unavailable:
        # The put may have happened although its answer never came.
        if (committed := output.committed()) is None:
            raise
        return committed
    except AlreadyExists:
        if (committed := output.committed()) is not None:
            return committed
        # Left by an attempt that stalled on its way to the commit, and whose shards this one has cleared away.
        still_holds()
        output.store.delete(uri)
        output.store.put(uri, data, if_absent=True)
    return result_of(output.uri, data)


def _put_granted(output: Output, data: bytes) -> Result:
    uri = manifest_uri(output.uri)
    output.refuse_others_manifest()
    output.store.put(uri, data)
    return result_of(output.uri, data)


def _put_if_absent(store: ObjectStore, uri: Uri, data: bytes, *, conditional: bool) -> None:
    if conditional:
        store.put(uri, data, if_absent=True)
        return
    if store.exists(uri):
        raise AlreadyExists(f"{uri} exists already: choose another name or delete it.")
    store.put(uri, data)


def _tidy(output: Output, attempt: int) -> None:
    """What an attempt that ran on for a while after it lost the job has written meanwhile."""
    try:
        output.tidy(attempt)
    except StorageError as error:
        log.warning("The output is whole, but what dead attempts left was not removed", reason=str(error))


def _stored(written: WrittenObject) -> StoredObject:
    return StoredObject(name=written.uri.name, size=written.size, sha256=written.sha256)


def _weight_map(plan: GrowthPlan, shards: list[WrittenObject]) -> dict[str, str]:
    pairs = zip(plan.shards, shards, strict=True)
    return {tensor.name: written.uri.name for shard, written in pairs for tensor in shard}


def _lineage(work: Work, plan: GrowthPlan) -> bytes:
    """What `worker/rebuild.py` makes a record of again; the same in every attempt."""
    told = Lineage(
        job_id=work.job_id,
        owner=work.owner,
        created_at=work.created_at,
        request=work.request,
        plan=Plan.model_validate(plan.summary()),
        versions={package: version(package) for package in PACKAGES},
    )
    return _json(told.model_dump(mode="json"))


def _carried(source: Folder, name: str) -> bytes:
    if source.size(name) > MAX_CARRIED_BYTES:
        raise InvalidCheckpoint(f"{name} has {source.size(name)} bytes; at most {MAX_CARRIED_BYTES} are carried over.")
    return source.read(name)


def _json(value: Mapping[str, object]) -> bytes:
    return (json.dumps(value, indent=2, sort_keys=True, ensure_ascii=False) + "\n").encode()
