"""A job's events: ordered, complete, resumable."""

import json

import redis

from jobs.schema import EventKind, Stage
from jobs.settings import SharedSettings
from jobs.store import JobStore
from tests.jobs.samples import FAILURE, running


def test_the_story_of_a_job(store: JobStore) -> None:
    job = running(store)
    store.update(job.id, 1, stage=Stage.FITTING)
    store.append_event(job.id, 1, EventKind.FIT, {"step": 1, "loss": 3.25, "held_out_loss": None})
    store.release(job.id, 1, counts=False)
    store.claim(job.id, "worker-2")
    store.append_event(job.id, 2, EventKind.LOG, {"line": "größer: “ok”\n"})
    store.finish(job.id, 2, FAILURE)
    page = store.events(job.id)
    assert page.next_cursor is None
    assert [(event.kind.value, event.attempt, event.data) for event in page.events] == [
        ("status", 0, {"status": "queued"}),
        ("status", 1, {"status": "running", "worker": "worker-1"}),
        ("stage", 1, {"stage": "fitting"}),
        ("fit", 1, {"step": 1, "loss": 3.25, "held_out_loss": None}),
        ("status", 1, {"status": "queued", "reason": "released"}),
        ("status", 2, {"status": "running", "worker": "worker-2"}),
        ("log", 2, {"line": "größer: “ok”\n"}),
        ("status", 2, {"status": "failed", "error": json.loads(FAILURE.model_dump_json(exclude_none=True))}),
    ]
    assert abs((page.events[0].at - job.created_at).total_seconds()) < 1


def test_reading_on_from_any_event_gives_the_rest(store: JobStore) -> None:
    job = running(store)
    for step in range(20):
        store.append_event(job.id, 1, EventKind.FIT, {"step": step, "loss": 1.0})
    events = store.events(job.id).events
    assert len(events) == 22
    for position, event in enumerate(events):
        assert store.events(job.id, after=event.id).events == events[position + 1 :]


def test_pages_of_events(store: JobStore) -> None:
    job = running(store)
    for step in range(7):
        store.append_event(job.id, 1, EventKind.FIT, {"step": step})
    everything, after, pages = store.events(job.id).events, None, []
    while True:
        page = store.events(job.id, after, limit=3)
        pages.append(page.events)
        after = page.next_cursor
        if after is None:
            break
    assert [len(page) for page in pages] == [3, 3, 3]
    assert [event for page in pages for event in page] == everything


def test_a_chatty_job_keeps_its_newest_events(store: JobStore, settings: SharedSettings) -> None:
    job = running(store)
    with redis.Redis.from_url(settings.redis_url) as client, client.pipeline() as earlier:
        for step in range(10_300):
            earlier.xadd(store.keys.events(job.id), {"kind": "fit", "attempt": 1, "data": json.dumps({"step": step})})
        earlier.execute()
    store.append_event(job.id, 1, EventKind.FIT, {"step": 10_300})
    events = store.events(job.id, limit=20_000).events
    steps = [event.data["step"] for event in events]
    assert 10_000 <= len(steps) < 10_200
    assert steps == list(range(10_301 - len(steps), 10_301))
