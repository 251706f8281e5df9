"""`grow rebuild`: records made again of jobs that succeeded, from their outputs, and of those that had been begun.

For a Redis that was lost with all its data. `growth.json` has the job as it was accepted, the manifest how it went; of
a job that had been begun the worker has kept the whole (`worker/accepted.py`), and it goes on where its fit stood. A
record that is there stays as it is, so that this may run beside a live service, and again.
"""

import json
from collections.abc import Iterator
from contextlib import closing
from dataclasses import asdict, dataclass
from typing import Annotated

import typer
from pydantic import ValidationError

from growth.header import INDEX_FILE
from jobs.errors import StoreUnavailable
from jobs.schema import Job, Status
from jobs.startup import starting
from jobs.store import JobStore
from storage import InvalidUri, NotFound, ObjectInfo, ObjectStore, StorageError, Uri
from worker.accepted import kept_jobs
from worker.manifest import Lineage, commit_of, read_manifest, result_of
from worker.output import LINEAGE_FILE, MAX_LINEAGE_BYTES
from worker.settings import WorkerSettings, open_storage

REFUSED = 2


@dataclass
class Rebuilt:
    """Outputs below the prefixes, and jobs that had been begun, by what was found there."""

    restored: int = 0
    begun_again: int = 0
    """Had not ended, and wait for their next attempt."""
    known: int = 0
    """There was a record, or the output of one that had not ended has become another job's."""
    foreign: int = 0
    """A checkpoint that no job of a service has written."""


def rebuild(
    prefixes: Annotated[list[str], typer.Argument(help="Where outputs lie, at any depth: `s3://bucket/prefix`.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print the counts as JSON.")] = False,
) -> None:
    """Put jobs on record again that succeeded, or had been begun. Exit codes: 0 done, 2 refused."""
    with starting():
        settings = WorkerSettings()
    try:
        with closing(JobStore(settings)) as store:
            places = [Uri.parse(prefix) for prefix in prefixes]
            found = rebuild_records(places, open_storage(settings), store, settings.state_uri)
    except (InvalidUri, StorageError, StoreUnavailable) as error:
        typer.echo(f"Error: {error}", err=True)
        raise typer.Exit(REFUSED) from None
    if as_json:
        typer.echo(json.dumps(asdict(found)))
    else:
        typer.echo(
            f"{found.restored} jobs are on record again, {found.begun_again} are to be begun again, {found.known} were "
            f"on record; {found.foreign} checkpoints are no job's."
        )


def rebuild_records(prefixes: list[Uri], storage: ObjectStore, store: JobStore, state_uri: str) -> Rebuilt:
    """Looks at every checkpoint below `prefixes`, then at what workers keep. Raises StorageError, StoreUnavailable."""
    found = Rebuilt()
    for index in _indexes(prefixes, storage):
        job = job_of(index, storage)
        if job is None:
            found.foreign += 1
        elif store.restore(job):
            found.restored += 1
        else:
            found.known += 1
    for job in kept_jobs(storage, state_uri):
        if store.restore(job):
            found.begun_again += 1
        else:
            found.known += 1
    return found


def job_of(index: ObjectInfo, storage: ObjectStore) -> Job | None:
    """The job whose commit this is; None where it is another program's, or was made without a service."""
    output = index.uri.parent
    manifest = read_manifest(storage, output)
    commit = commit_of(manifest) if manifest is not None else None
    lineage = _lineage(output, storage)
    if manifest is None or commit is None or lineage is None or lineage.job_id != commit.job_id:
        return None
    if lineage.created_at is None:
        return None
    return Job(
        id=commit.job_id,
        status=Status.SUCCEEDED,
        progress=1.0,
        attempt=commit.attempt,
        owner=lineage.owner,
        request=lineage.request,
        plan=lineage.plan,
        result=result_of(output, manifest),
        created_at=lineage.created_at,
        started_at=commit.started_at,
        finished_at=index.modified_at,
    )


def _indexes(prefixes: list[Uri], storage: ObjectStore) -> Iterator[ObjectInfo]:
    for prefix in prefixes:
        yield from (info for info in storage.list(prefix) if info.uri.name == INDEX_FILE)


def _lineage(output: Uri, storage: ObjectStore) -> Lineage | None:
    try:
        return Lineage.model_validate_json(storage.read(output.join(LINEAGE_FILE), 0, MAX_LINEAGE_BYTES))
    except (NotFound, ValidationError):
        return None
