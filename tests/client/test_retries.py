"""What the SDK sends again, how long it waits, and that a repeated submit makes one job."""

import socket
import threading
import time
import uuid
from pathlib import Path

import pytest

from client import JobFilter, ProblemError, UnexpectedAnswer, Unreachable
from tests.client.api import api as running_api
from tests.client.conftest import Body, Connect
from tests.client.gateway import Answers, Gateway, LosesAnswer
from tests.servers import free_port


def test_lost_answer_to_submit_makes_one_job(connect: Connect, gateway: Gateway, body: Body) -> None:
    label = {"output": body["output"].rpartition("/")[2]}
    gateway.faults.append(LosesAnswer())
    client = connect(gateway.url)
    job = client.submit(body | {"labels": label})
    first, second = gateway.seen
    assert first.headers["idempotency-key"] == second.headers["idempotency-key"]
    assert job.request.labels == label
    assert [one.id for one in client.jobs(JobFilter(method="hypercloning"))].count(job.id) == 1


def test_every_submit_has_a_key_of_its_own_unless_it_is_given(connect: Connect, gateway: Gateway, body: Body) -> None:
    client = connect(gateway.url)
    key = uuid.uuid4().hex
    client.submit(body, key)
    for _ in range(2):
        with pytest.raises(ProblemError):
            client.submit(body)
    given, *made = (seen.headers["idempotency-key"] for seen in gateway.seen)
    assert given == key
    assert len(set(made)) == 2


@pytest.mark.parametrize("status", [502, 503, 504])
def test_gateway_errors_are_retried(connect: Connect, gateway: Gateway, status: int) -> None:
    gateway.faults.extend([Answers(status)] * 2)
    assert connect(gateway.url).methods()
    assert len(gateway.seen) == 3


def test_retry_after_is_honoured(connect: Connect, gateway: Gateway) -> None:
    gateway.faults.append(Answers(503, {"Retry-After": "1"}))
    started = time.monotonic()
    assert connect(gateway.url).methods()
    assert 1.0 <= time.monotonic() - started < 3.0


def test_a_retry_after_of_an_hour_is_not_waited_for(connect: Connect, gateway: Gateway) -> None:
    problem = b'{"type": "x", "title": "Closed", "status": 503, "code": "closed", "detail": "Closed for the night."}'
    gateway.faults.append(Answers(503, {"Retry-After": "3600"}, problem))
    with pytest.raises(ProblemError, match="Closed for the night"):
        connect(gateway.url).methods()
    assert len(gateway.seen) == 1


def test_what_does_not_pass_is_told_after_the_last_retry(connect: Connect, gateway: Gateway) -> None:
    gateway.faults.extend([Answers(502)] * 9)
    with pytest.raises(UnexpectedAnswer, match="HTTP 502"):
        connect(gateway.url, retries=2).methods()
    assert len(gateway.seen) == 3


@pytest.mark.parametrize("status", [400, 401, 409, 500])
def test_other_errors_are_not_retried(connect: Connect, gateway: Gateway, status: int) -> None:
    gateway.faults.append(Answers(status))
    with pytest.raises(UnexpectedAnswer):
        connect(gateway.url).methods()
    assert len(gateway.seen) == 1


def test_nothing_there_is_one_sentence_with_a_way_out(connect: Connect) -> None:
    url = f"http://127.0.0.1:{free_port()}"
    with pytest.raises(Unreachable) as unreachable:
        connect(url, retries=1).methods()
    assert unreachable.value.detail.startswith(f"No service answers at {url} (")
    assert "`grow up`" in str(unreachable.value)
    assert "--url" in str(unreachable.value)


@pytest.mark.parametrize("url", ["localhost:8765", "ftp://localhost", "http://", "http://[::"])
def test_what_is_no_address_is_unreachable(connect: Connect, url: str) -> None:
    with pytest.raises(Unreachable):
        connect(url)


def test_a_silent_service_is_unreachable_in_time(connect: Connect) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        client = connect(f"http://127.0.0.1:{silent.getsockname()[1]}", timeout_seconds=0.2, retries=0)
        with pytest.raises(Unreachable, match=r"no answer within 0\.2 s"):
            client.methods()


def test_wait_outlives_a_restart_of_the_service(connect: Connect, redis_url: str, tmp_path: Path, body: Body) -> None:
    port, log = free_port(), tmp_path / "log"
    with running_api(redis_url, port, log) as url:
        client = connect(url)
        job = client.submit(body)

    def restart() -> None:
        time.sleep(0.5)
        with running_api(redis_url, port, log):
            restarted.set()
            stop.wait(60)

    restarted, stop = threading.Event(), threading.Event()
    restarting = threading.Thread(target=restart)
    restarting.start()
    canceller = threading.Thread(target=lambda: (restarted.wait(60), connect(url).cancel(job.id)))
    canceller.start()
    try:
        assert client.wait(job.id, timeout_seconds=60).status == "cancelled"
    finally:
        stop.set()
        restarting.join()
        canceller.join()


def test_api_key_is_sent_as_bearer(connect: Connect, gateway: Gateway) -> None:
    connect(gateway.url, "secret").methods()
    connect(gateway.url).methods()
    with_key, without = gateway.seen
    assert with_key.headers["authorization"] == "Bearer secret"
    assert "authorization" not in without.headers
    assert with_key.headers["user-agent"].startswith("model-growth/")
