"""The manifest: the checkpoint's index that stock loaders read, and in its metadata the commit that we read.

It is written last, so its presence is the commit: without it no loader takes the prefix for a checkpoint.
"""

import json
from collections.abc import Mapping
from datetime import datetime

from pydantic import BaseModel, ValidationError

from growth.header import INDEX_FILE, MAX_INDEX_BYTES
from jobs.schema import FitReport, GrowthRequest, Plan, PretrainingReport, Result, Selection, Verification
from storage import NotFound, ObjectStore, Uri

PICTURE = "picture"
"""What the name of the operator's pictures begins with."""


class StoredObject(BaseModel):
    """An object of the output, as it was when it was written."""

    name: str
    size: int
    sha256: str


class Lineage(BaseModel):
    """`growth.json`: the job that an output is of, as it was accepted."""

    job_id: str
    owner: str
    created_at: datetime | None = None
    """None where there was no service."""
    request: GrowthRequest
    plan: Plan
    versions: dict[str, str]


class Commit(BaseModel):
    """Which attempt wrote the output, all that it wrote, and what came of it."""

    job_id: str
    attempt: int
    started_at: datetime | None = None
    """When the job's first attempt began."""
    objects: list[StoredObject]
    pretraining: PretrainingReport | None = None
    fit: FitReport | None = None
    verification: Verification | None = None
    selection: Selection | None = None
    stage_seconds: dict[str, float]


class _Metadata(BaseModel):
    total_size: int
    growth: Commit


class _Manifest(BaseModel):
    metadata: _Metadata
    weight_map: dict[str, str]


def manifest_uri(output: Uri) -> Uri:
    return output.join(INDEX_FILE)


def manifest_bytes(commit: Commit, weight_map: Mapping[str, str], tensor_bytes: int) -> bytes:
    """The file; the same commit gives the same bytes."""
    metadata = _Metadata(total_size=tensor_bytes, growth=commit)
    manifest = _Manifest(metadata=metadata, weight_map=dict(weight_map)).model_dump(mode="json", exclude_none=True)
    return (json.dumps(manifest, indent=2) + "\n").encode()


def read_manifest(store: ObjectStore, output: Uri) -> bytes | None:
    """The file's bytes; None where there is none."""
    try:
        return read_commit(store, manifest_uri(output))
    except NotFound:
        return None


def read_commit(store: ObjectStore, uri: Uri) -> bytes:
    """The bytes of a manifest, under whatever name; of a file that is too large for one the first, which are none.

    Raises NotFound.
    """
    return store.read(uri, 0, MAX_INDEX_BYTES)


def commit_of(manifest: bytes) -> Commit | None:
    """The commit that a manifest tells of; None where it is another program's index."""
    try:
        return _Manifest.model_validate_json(manifest).metadata.growth
    except ValidationError:
        return None


def result_of(output: Uri, manifest: bytes) -> Result:
    """What a job that left this manifest succeeded with, the manifest itself counted too."""
    commit = commit_of(manifest)
    assert commit is not None
    return Result(
        output=str(output),
        manifest=str(manifest_uri(output)),
        bytes_written=sum(stored.size for stored in commit.objects) + len(manifest),
        objects=len(commit.objects) + 1,
        pretraining=commit.pretraining,
        fit=commit.fit,
        verification=commit.verification,
        selection=commit.selection,
        picture=next((str(output.join(name)) for name in _names(commit) if name.startswith(f"{PICTURE}-")), None),
        stage_seconds=commit.stage_seconds,
    )


def _names(commit: Commit) -> list[str]:
    return [stored.name for stored in commit.objects]
