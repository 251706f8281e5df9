"""The event stream of the SDK: complete, in order, once each, over connections that break."""

import threading
from collections.abc import Iterator

import pytest

from client import GrowClient, NotFoundError
from jobs.schema import Event, EventKind, Stage
from jobs.store import JobStore
from tests.client.conftest import Body, Connect
from tests.client.gateway import Answers, CutsStream, Gateway, LosesAnswer
from tests.client.test_sdk import RESULT, UNKNOWN


@pytest.fixture
def ended(client: GrowClient, store: JobStore, body: Body) -> str:
    """A job with several events that has ended."""
    job_id = client.submit(body).id
    attempt = store.claim(job_id, "worker").attempt
    for stage in (Stage.PLANNING, Stage.FITTING, Stage.EXPANDING):
        store.update(job_id, attempt, stage=stage)
    for step in range(3):
        store.append_event(job_id, attempt, EventKind.FIT, {"step": step, "loss": 3.0 - step})
    store.finish(job_id, attempt, RESULT)
    return job_id


def _kept(store: JobStore, job_id: str) -> list[Event]:
    return store.events(job_id).events


def test_all_events_come_in_order(client: GrowClient, store: JobStore, ended: str) -> None:
    assert list(client.events(ended)) == _kept(store, ended)


def test_after_leaves_out_what_came_before(client: GrowClient, store: JobStore, ended: str) -> None:
    kept = _kept(store, ended)
    assert list(client.events(ended, after=kept[2].id)) == kept[3:]
    assert list(client.events(ended, after=kept[-1].id)) == []


def test_broken_connections_are_taken_up_where_they_broke(
    connect: Connect, gateway: Gateway, store: JobStore, ended: str
) -> None:
    # Between two streams the client reads the job, which here goes through or fails too.
    gateway.faults.extend([CutsStream(2), LosesAnswer(), CutsStream(1), Answers(503), Answers(502), CutsStream(3)])
    assert list(connect(gateway.url).events(ended)) == _kept(store, ended)
    resumed = [seen.headers.get("last-event-id") for seen in gateway.seen if seen.path.endswith("/events")]
    assert resumed[0] is None
    assert resumed[1] == _kept(store, ended)[1].id


def test_events_come_as_they_happen(client: GrowClient, store: JobStore, body: Body) -> None:
    job_id = client.submit(body).id
    events: Iterator[Event] = client.events(job_id)
    assert next(events).data["status"] == "queued"
    attempt = store.claim(job_id, "worker").attempt
    assert next(events).data["status"] == "running"
    later = threading.Timer(1.2, store.append_event, (job_id, attempt, EventKind.LOG, {"message": "still here"}))
    later.start()
    assert next(events).data == {"message": "still here"}
    later.join()
    store.finish(job_id, attempt, None)
    assert [event.data["status"] for event in events] == ["cancelled"]


def test_a_cut_before_the_end_is_not_the_end(connect: Connect, gateway: Gateway, store: JobStore, body: Body) -> None:
    client = connect(gateway.url)
    job_id = client.submit(body).id
    gateway.faults.append(CutsStream(1))
    events = client.events(job_id)
    next(events)
    attempt = store.claim(job_id, "worker").attempt
    store.finish(job_id, attempt, RESULT)
    assert [event.data["status"] for event in events] == ["running", "succeeded"]


def test_events_of_no_job_are_not_found(client: GrowClient) -> None:
    with pytest.raises(NotFoundError):
        next(client.events(UNKNOWN))
