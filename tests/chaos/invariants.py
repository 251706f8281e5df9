"""What must hold once a run is over, looked at from outside: in Redis, in the store, and in what clients were told."""

import json
from collections import defaultdict
from collections.abc import Iterator
from hashlib import sha256
from typing import Any

import redis

from jobs.keys import Keys
from jobs.listing import Filter
from jobs.schema import EventKind, Job, Status
from jobs.store import JobStore
from storage import Storage, Uri
from tests.chaos.ledger import Ledger
from tests.chaos.machines import MAX_ATTEMPTS, Machines, uploads
from tests.chaos.workload import Asked

MANIFEST = "model.safetensors.index.json"


def violations(machines: Machines, store: JobStore, ledger: Ledger, asked: list[Asked]) -> Iterator[str]:
    """One sentence for each thing that does not hold."""
    yield from ledger.violations
    storage = machines.storage()
    by_id = {ledger.accepted[job.number]: job for job in asked if job.number in ledger.accepted}
    yield from _every_key_has_one_record(store, ledger, asked, by_id)
    tensors: defaultdict[str, set[str]] = defaultdict(set)
    for job_id, wanted in by_id.items():
        job = store.get(job_id)
        assert isinstance(job, Job)
        yield from (f"{job_id} ({wanted.key}): {found}" for found in _of_record(job, store, ledger))
        yield from (f"{job_id} ({wanted.key}): {found}" for found in _of_output(job, wanted, storage, tensors))
    yield from (
        f"equal jobs wrote {len(found)} kinds of tensors: {twin}" for twin, found in tensors.items() if len(found) > 1
    )
    yield from (f"a multipart upload of {key} is left" for key in uploads(machines))
    state = Uri.parse(machines.environment["GROW_STATE_URI"])
    yield from (f"the state {info.uri} of a job is left" for info in storage.list(state) if "/job-" in info.uri.key)


def pending(machines: Machines, keys: Keys) -> dict[str, int]:
    """How many jobs stand in each index of work to be done."""
    with redis.Redis.from_url(machines.redis_url) as client:
        listed = {
            "outbox": keys.outbox,
            "published": keys.published,
            "waiting": keys.waiting,
            "leases": keys.leases,
            "outputs": keys.outputs,
        }
        return {name: int(client.zcard(key)) for name, key in listed.items()}


def _every_key_has_one_record(
    store: JobStore, ledger: Ledger, asked: list[Asked], by_id: dict[str, Asked]
) -> Iterator[str]:
    recorded: list[str] = []
    cursor: str | None = None
    while True:
        page = store.list_jobs(Filter(), cursor=cursor, limit=200)
        recorded += [job.id for job in page.jobs]
        if (cursor := page.next_cursor) is None:
            break
    if len(set(ledger.accepted.values())) != len(ledger.accepted):
        yield "two keys were answered with one job"
    yield from (f"{job_id} has a record, and no key was answered with it" for job_id in set(recorded) - set(by_id))
    yield from (
        f"{job_id} ({by_id[job_id].key}) was accepted and has no record" for job_id in set(by_id) - set(recorded)
    )
    for job in asked:
        if (job.kind == "impossible") == (job.number in ledger.accepted):
            yield f"{job.key} ({job.kind}) was answered with {ledger.refused.get(job.number, '202')}"


def _of_record(job: Job, store: JobStore, ledger: Ledger) -> Iterator[str]:
    if not job.status.terminal:
        yield f"is {job.status} still"
        return
    events = store.events(job.id, limit=10_000).events
    told = [event for event in events if event.kind is EventKind.STATUS]
    ends = [event for event in told if event.data["status"] in ("succeeded", "failed", "cancelled")]
    if len(ends) != 1 or events[-1] is not ends[0]:
        yield f"has {len(ends)} ends, and {events[-1].kind} is the last of its events"
    seen = ledger.ended.get(job.id)
    if seen is None:
        yield "was never seen to end"
    elif seen != job.model_dump(mode="json"):
        yield "has changed since it was first seen to have ended"
    counted = job.attempt - sum(
        event.data.get("reason") == "released" and not _counts(job, event.attempt, events) for event in told
    )
    if counted > MAX_ATTEMPTS:
        yield f"had {counted} attempts"
    if job.status is Status.CANCELLED and job.id not in ledger.cancelled:
        yield "is cancelled, and nobody asked for that"
    if job.status is Status.FAILED and (job.error is None or job.error.code not in ("poison", "storage_unavailable")):
        yield f"has failed with {job.error and job.error.code}: {job.error and job.error.detail}"


def _counts(job: Job, attempt: int, events: list[Any]) -> bool:
    """Whether the attempt that was given back is one of the most: all but those of workers that left."""
    said = [e.data["message"] for e in events if e.kind is EventKind.LOG and e.attempt == attempt]
    return "The worker is leaving." not in said


def _of_output(job: Job, wanted: Asked, storage: Storage, tensors: defaultdict[str, set[str]]) -> Iterator[str]:
    output = Uri.parse(wanted.output)
    objects = {info.uri.name: storage.read(info.uri) for info in storage.list(output)}
    if job.status is not Status.SUCCEEDED:
        if objects:
            yield f"is {job.status} and has left {sorted(objects)}"
        return
    if MANIFEST not in objects:
        yield "has succeeded without a manifest"
        return
    told = json.loads(objects[MANIFEST])["metadata"]["growth"]
    listed = {stored["name"]: stored for stored in told["objects"]}
    if told["job_id"] != job.id:
        yield f"has the manifest of {told['job_id']}"
    if extra := set(objects) - set(listed) - {MANIFEST}:
        yield f"has left {sorted(extra)} beside its commit"
    for name, stored in listed.items():
        data = objects.get(name)
        if data is None or (stored["size"], stored["sha256"]) != (len(data), sha256(data).hexdigest()):
            yield f"has {name} otherwise than its manifest says"
    hashes = [stored["sha256"] for name, stored in sorted(listed.items()) if name.startswith("model-")]
    if wanted.kind != "fit":
        tensors[wanted.twin].add(" ".join(hashes))
