"""The end of a job: the small files beside the shards, and the manifest that makes them a checkpoint.

The manifest is put only where none is. Stores that ignore that condition are looked at first, and on every store the
lease is renewed in between: who no longer holds the job does not commit. What is left open on a store without
conditions is an attempt that stalls for longer than its lease between that renewal and the put.
"""

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from hashlib import sha256
from importlib.metadata import version

import structlog

from growth.errors import InvalidCheckpoint
from growth.plan import GrowthPlan
from growth.transfer_plan import TRAINING_FILE
from jobs.schema import FitReport, GrowthRequest, Plan, PretrainingReport, Result, Verification
from storage import AlreadyExists, ObjectStore, StorageError, Unavailable, Unsupported, Uri, WrittenObject
from storage.folder import Folder
from worker.card_metadata import MAX_CARD_BYTES
from worker.carried import CARRIED_FILES
from worker.manifest import Commit, StoredObject, manifest_bytes, manifest_uri, result_of
from worker.model_card import model_card
from worker.output import LINEAGE_FILE, Output
from worker.training import training_of

MAX_CARRIED_BYTES = 1 << 29
PACKAGES = ("model-growth", "safetensors", "torch", "transformers")

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
    verification: Verification | None
    stage_seconds: Mapping[str, float]


def commit(
    output: Output,
    attempt: int,
    request: GrowthRequest,
    plan: GrowthPlan,
    source: Folder,
    grown: Grown,
    still_holds: Callable[[], None],
) -> Result:
    """Writes the files beside the shards, then the manifest; `still_holds` raises where it must not come to that.

    The result is another attempt's where that one committed first. Raises OutputExists where another job did.
    """
    small = [_put_small_file(output, name, data) for name, data in _small_files(output, request, plan, source)]
    large = [*grown.shards, *grown.state, *([grown.fit.operator] if grown.fit else [])]
    made = Commit(
        job_id=output.job_id,
        attempt=attempt,
        objects=[*map(_stored, large), *small],
        pretraining=grown.pretraining,
        fit=grown.fit.report if grown.fit else None,
        verification=grown.verification,
        selection=Plan.model_validate(plan.summary()).selection,
        stage_seconds=dict(grown.stage_seconds),
    )
    result = _put_manifest(
        output, manifest_bytes(made, _weight_map(plan, grown.shards), plan.target_bytes), still_holds
    )
    _tidy(output, attempts_before=attempt > 1)
    return result


def _small_files(
    output: Output, request: GrowthRequest, plan: GrowthPlan, source: Folder
) -> Iterator[tuple[str, bytes]]:
    """Names and bytes, the same in every attempt at a job; the lineage first, because it marks the others as ours."""
    names = source.names()
    yield LINEAGE_FILE, _lineage(output.job_id, request, plan)
    yield "config.json", _json(plan.target.raw)
    for name in CARRIED_FILES:
        if name in names:
            yield name, _carried(source, name)
    training = training_of(request, plan)
    yield TRAINING_FILE, _json(training)
    card = source.read("README.md", 0, MAX_CARD_BYTES) if "README.md" in names else b""
    yield "README.md", model_card(request, plan, card, training, sentence_transformer="modules.json" in names).encode()


def _put_small_file(output: Output, name: str, data: bytes) -> StoredObject:
    uri = output.uri.join(name)
    try:
        _put_if_absent(output.store, uri, data)
    except AlreadyExists:
        if output.store.read(uri) != data:
            raise output.taken(name) from None
    return StoredObject(name=name, size=len(data), sha256=sha256(data).hexdigest())


def _put_manifest(output: Output, data: bytes, still_holds: Callable[[], None]) -> Result:
    uri = manifest_uri(output.uri)
    still_holds()
    try:
        _put_if_absent(output.store, uri, data)
    except Unavailable:
        # The put may have happened although its answer never came.
        if (committed := output.committed()) is None:
            raise
        return committed
    except AlreadyExists:
        if (committed := output.committed()) is not None:
            return committed
        # Left by an attempt that stalled on its way to the commit, and whose shards this one has cleared away.
        output.store.delete(uri)
        _put_if_absent(output.store, uri, data)
    return result_of(output.uri, data)


def _put_if_absent(store: ObjectStore, uri: Uri, data: bytes) -> None:
    if store.exists(uri):
        raise AlreadyExists(f"{uri} exists already: choose another name or delete it.")
    try:
        store.put(uri, data, if_absent=True)
    except Unsupported:
        store.put(uri, data)


def _tidy(output: Output, *, attempts_before: bool) -> None:
    """What an attempt that ran on for a while after it lost the job has written meanwhile."""
    try:
        output.remove_losers()
        if attempts_before:
            output.abort_uploads()
    except StorageError as error:
        log.warning("The output is whole, but what dead attempts left was not removed", reason=str(error))


def _stored(written: WrittenObject) -> StoredObject:
    return StoredObject(name=written.uri.name, size=written.size, sha256=written.sha256)


def _weight_map(plan: GrowthPlan, shards: list[WrittenObject]) -> dict[str, str]:
    pairs = zip(plan.shards, shards, strict=True)
    return {tensor.name: written.uri.name for shard, written in pairs for tensor in shard}


def _lineage(job_id: str, request: GrowthRequest, plan: GrowthPlan) -> bytes:
    return _json(
        {
            "job_id": job_id,
            "request": request.model_dump(mode="json", exclude_none=True),
            "plan": plan.summary(),
            "versions": {package: version(package) for package in PACKAGES},
        }
    )


def _carried(source: Folder, name: str) -> bytes:
    if source.size(name) > MAX_CARRIED_BYTES:
        raise InvalidCheckpoint(f"{name} has {source.size(name)} bytes; at most {MAX_CARRIED_BYTES} are carried over.")
    return source.read(name)


def _json(value: Mapping[str, object]) -> bytes:
    return (json.dumps(value, indent=2, sort_keys=True, ensure_ascii=False) + "\n").encode()
