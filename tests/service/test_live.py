"""Waiting for a job, over real connections: long polls and event streams."""

import json
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import httpx2
import pytest

from jobs.schema import EventKind, Stage
from jobs.store import JobStore
from service.app import create_app
from service.settings import ServiceSettings
from tests.jobs.samples import RESULT
from tests.service.conftest import Body
from tests.service.live import serving

STREAM = {"Accept": "text/event-stream"}


@pytest.fixture
def live(redis_url: str) -> Iterator[httpx2.Client]:
    app = create_app(ServiceSettings(redis_url=redis_url), heartbeat_seconds=0.1)
    with serving(app) as url, httpx2.Client(base_url=url, timeout=90) as client:
        yield client


@pytest.fixture
def job_id(live: httpx2.Client, body: Body) -> str:
    return str(live.post("/grow", json=body).json()["id"])


@dataclass
class Message:
    """One server-sent event as it came over the wire."""

    fields: dict[str, str] = field(default_factory=dict)

    @property
    def data(self) -> dict[str, Any]:
        parsed: dict[str, Any] = json.loads(self.fields["data"])
        return parsed


def _messages(response: httpx2.Response) -> Iterator[Message]:
    """Events, and comments as messages with the field `comment`."""
    message = Message()
    for line in response.iter_lines():
        if not line:
            yield message
            message = Message()
            continue
        name, _, value = line.partition(": ")
        message.fields[name or "comment"] = value


def _events(live: httpx2.Client, job_id: str, **headers: str) -> list[Message]:
    """All events until the service ends the stream."""
    with live.stream("GET", f"/jobs/{job_id}/events", headers={**STREAM, **headers}) as response:
        assert response.status_code == 200
        assert response.headers["Content-Type"].startswith("text/event-stream")
        assert response.headers["Cache-Control"] == "no-cache"
        return [message for message in _messages(response) if "comment" not in message.fields]


def _after(seconds: float, act: Callable[[], object]) -> threading.Timer:
    timer = threading.Timer(seconds, act)
    timer.start()
    return timer


def _run(store: JobStore, job_id: str) -> None:
    """What a worker would write."""
    attempt = store.claim(job_id, "worker").attempt
    store.update(job_id, attempt, stage=Stage.EXPANDING)
    store.append_event(job_id, attempt, EventKind.LOG, {"message": "two\nlines"})
    store.finish(job_id, attempt, RESULT)


def test_wait_returns_at_a_change(live: httpx2.Client, store: JobStore, job_id: str) -> None:
    timer = _after(0.5, lambda: store.claim(job_id, "worker"))
    started = time.monotonic()
    job = live.get(f"/jobs/{job_id}", params={"wait": 30}).json()
    assert job["status"] == "running"
    assert 0.4 < time.monotonic() - started < 25
    timer.join()


def test_wait_returns_at_once_when_there_is_news(live: httpx2.Client, store: JobStore, job_id: str) -> None:
    tag = live.get(f"/jobs/{job_id}").headers["ETag"]
    store.claim(job_id, "worker")
    started = time.monotonic()
    response = live.get(f"/jobs/{job_id}", params={"wait": 30}, headers={"If-None-Match": tag})
    assert (response.status_code, response.json()["status"]) == (200, "running")
    assert time.monotonic() - started < 25


def test_wait_for_an_ended_job_does_not_wait(live: httpx2.Client, store: JobStore, job_id: str) -> None:
    _run(store, job_id)
    started = time.monotonic()
    response = live.get(f"/jobs/{job_id}", params={"wait": 60})
    assert response.json()["status"] == "succeeded"
    tag = response.headers["ETag"]
    assert live.get(f"/jobs/{job_id}", params={"wait": 60}, headers={"If-None-Match": tag}).status_code == 304
    assert time.monotonic() - started < 25


def test_wait_ends_when_time_is_up(live: httpx2.Client, job_id: str) -> None:
    started = time.monotonic()
    response = live.get(f"/jobs/{job_id}", params={"wait": 1})
    assert (response.status_code, response.json()["status"]) == (200, "queued")
    tag = response.headers["ETag"]
    assert live.get(f"/jobs/{job_id}", params={"wait": 1}, headers={"If-None-Match": tag}).status_code == 304
    assert 1.9 < time.monotonic() - started < 50
    assert live.get(f"/jobs/{job_id}", params={"wait": 61}).status_code == 422


def test_many_waiters_hold_no_thread(live: httpx2.Client, store: JobStore, job_id: str) -> None:
    with ThreadPoolExecutor(60) as pool:
        waiting = [pool.submit(live.get, f"/jobs/{job_id}", params={"wait": 20}) for _ in range(60)]
        time.sleep(0.5)
        assert live.get("/methods", timeout=15).status_code == 200
        store.claim(job_id, "worker")
        assert {waiter.result().json()["status"] for waiter in waiting} == {"running"}


def test_stream_follows_a_job_to_its_end(live: httpx2.Client, store: JobStore, job_id: str) -> None:
    timer = _after(0.4, lambda: _run(store, job_id))
    messages = _events(live, job_id)
    timer.join()
    assert [message.fields["event"] for message in messages] == ["status", "status", "stage", "log", "status"]
    assert [message.data["id"] for message in messages] == [message.fields["id"] for message in messages]
    assert messages[-2].data["data"] == {"message": "two\nlines"}
    assert messages[-1].data["data"]["status"] == "succeeded"
    page = live.get(f"/jobs/{job_id}/events").json()
    assert [message.data for message in messages] == page["events"]


def test_stream_goes_on_after_the_last_event_that_a_client_has(
    live: httpx2.Client, store: JobStore, job_id: str
) -> None:
    _run(store, job_id)
    messages = _events(live, job_id)
    for index, message in enumerate(messages):
        assert _events(live, job_id, **{"Last-Event-ID": message.fields["id"]}) == messages[index + 1 :]


def test_stream_that_is_cut_off_loses_nothing(live: httpx2.Client, store: JobStore, job_id: str) -> None:
    attempt = store.claim(job_id, "worker").attempt
    with live.stream("GET", f"/jobs/{job_id}/events", headers=STREAM) as response:
        seen = next(_messages(response))
    store.finish(job_id, attempt, RESULT)
    rest = _events(live, job_id, **{"Last-Event-ID": seen.fields["id"]})
    page = live.get(f"/jobs/{job_id}/events").json()
    assert [seen.data, *(message.data for message in rest)] == page["events"]


def test_silent_stream_sends_heartbeats(live: httpx2.Client, job_id: str) -> None:
    with live.stream("GET", f"/jobs/{job_id}/events", headers=STREAM) as response:
        messages = _messages(response)
        assert next(messages).fields["event"] == "status"
        assert [next(messages).fields for _ in range(3)] == [{"comment": "ping"}] * 3


def test_stream_with_a_cursor_that_is_none_is_refused_before_it_starts(live: httpx2.Client, job_id: str) -> None:
    response = live.get(f"/jobs/{job_id}/events", headers={**STREAM, "Last-Event-ID": "never"})
    assert (response.status_code, response.json()["code"]) == (422, "invalid_cursor")


def test_streams_that_clients_leave_are_given_up(redis_url: str, body: Body) -> None:
    app = create_app(ServiceSettings(redis_url=redis_url), heartbeat_seconds=0.1)
    with serving(app) as url, httpx2.Client(base_url=url) as live:
        job_id = live.post("/grow", json=body).json()["id"]
        for _ in range(3):
            with live.stream("GET", f"/jobs/{job_id}/events", headers=STREAM) as response:
                messages = _messages(response)
                next(messages)
                assert app.state.parts.watcher.watched == 1
        deadline = time.monotonic() + 60
        while app.state.parts.watcher.watched:
            assert time.monotonic() < deadline
            time.sleep(0.02)


def test_shutdown_does_not_wait_for_open_streams(redis_url: str, body: Body) -> None:
    with serving(create_app(ServiceSettings(redis_url=redis_url))) as url:
        live = httpx2.Client(base_url=url)
        job_id = live.post("/grow", json=body).json()["id"]
        response = live.send(live.build_request("GET", f"/jobs/{job_id}/events", headers=STREAM), stream=True)
        messages = _messages(response)
        next(messages)
        started = time.monotonic()
    assert time.monotonic() - started < 30
    response.close()
    live.close()
