"""A job's end is told to its webhook: signed, until it is taken, and to nobody else."""

import asyncio
import json
import threading
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import redis
from standardwebhooks import Webhook, WebhookVerificationError
from starlette.testclient import TestClient

from jobs.schema import Failure, Job, Result, WebhookMessage
from jobs.searches import Searches
from jobs.settings import SharedSettings
from jobs.store import JobStore
from jobs.tuning import SearchWebhookMessage, TuneJob
from jobs.webhooks import FORMER_SECONDS, RETRY_SECONDS, Secrets, Webhooks
from service import courier
from service.courier import Courier
from storage import Storage, Uri
from tests.jobs.samples import FAILURE, RESULT, request, submit, wait_until
from tests.service.certificates import certified
from tests.service.conftest import Body, ClientFactory
from tests.service.receiver import Receiver, receiving
from tests.tuning.played import Played
from tests.tuning.samples import search_body, token_ids

WEBHOOKS = "growth:webhooks"


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as receiver:
        yield receiver


@pytest.fixture
def webhooks(redis_url: str) -> Iterator[Webhooks]:
    webhooks = Webhooks(redis_url)
    yield webhooks
    webhooks.close()


@pytest.fixture
def raw(redis_url: str) -> Iterator[redis.Redis]:
    with redis.Redis.from_url(redis_url, decode_responses=True) as client:
        yield client


def ended(store: JobStore, webhook: str | None, outcome: Result | Failure | None = RESULT) -> Job:
    """A job that has just ended."""
    wanted = request(labels={"team": "nlp"}).model_copy(update={"webhook": webhook})
    made = submit(store, wanted)
    job = store.finish(made.id, store.claim(made.id, "worker").attempt, outcome)
    assert isinstance(job, Job)
    return job


def send(store: JobStore, webhooks: Webhooks, *, trusted: Sequence[str] = ("127.0.0.1",)) -> int:
    """One look at what is due, as the service takes it."""
    return asyncio.run(Courier(store, webhooks, trusted).send_due())


class TestOfTheService:
    """From `POST /grow` to the receiver, with nothing called but HTTP and what a worker does."""

    @pytest.fixture
    def client(self, client_with: ClientFactory, receiver: Receiver) -> TestClient:
        return client_with(webhook_hosts=f"127.0.0.1:{receiver.port}, hooks.internal")

    @pytest.mark.parametrize(
        ("outcome", "kind"), [(RESULT, "job.succeeded"), (FAILURE, "job.failed"), (None, "job.cancelled")]
    )
    def test_the_end_of_a_job_is_told(
        self,
        client: TestClient,
        body: Body,
        receiver: Receiver,
        store: JobStore,
        outcome: Result | Failure | None,
        kind: str,
    ) -> None:
        job_id = client.post("/grow", json=body | {"webhook": receiver.url}).json()["id"]
        store.finish(job_id, store.claim(job_id, "worker").attempt, outcome)
        wait_until(lambda: client.get(f"/jobs/{job_id}").json()["webhook"]["state"] == "delivered", 30)
        [came] = receiver.received
        secret = client.get("/webhook-secret").json()["secret"]
        told = WebhookMessage.model_validate(Webhook(secret).verify(came.body, came.headers))
        job = Job.model_validate(client.get(f"/jobs/{job_id}").json())
        assert (told.type, told.timestamp) == (kind, job.finished_at)
        assert (told.data.id, told.data.status, told.data.error) == (job.id, job.status, job.error)
        assert came.headers["webhook-id"] == f"msg_{job_id}"
        assert came.path == "/hook?token=abc"

    def test_it_is_sent_again_on_request(
        self, client: TestClient, body: Body, receiver: Receiver, store: JobStore
    ) -> None:
        job_id = client.post("/grow", json=body | {"webhook": receiver.url}).json()["id"]
        refused = client.post(f"/jobs/{job_id}/webhook")
        assert (refused.status_code, refused.json()["code"]) == (409, "webhook_not_due")
        client.post(f"/jobs/{job_id}/cancel")
        wait_until(lambda: len(receiver.received) == 1, 30)
        wait_until(lambda: client.get(f"/jobs/{job_id}").json()["webhook"]["state"] == "delivered", 30)
        again = client.post(f"/jobs/{job_id}/webhook")
        assert (again.status_code, again.json()["webhook"]["state"]) == (202, "pending")
        wait_until(lambda: len(receiver.received) == 2, 30)
        first, second = receiver.received
        assert (first.body, first.headers["webhook-id"]) == (second.body, second.headers["webhook-id"])

    def test_jobs_without_one(self, client: TestClient, body: Body) -> None:
        job = client.post("/grow", json=body).json()
        client.post(f"/jobs/{job['id']}/cancel")
        response = client.post(f"/jobs/{job['id']}/webhook")
        assert (response.status_code, response.json()["code"]) == (409, "webhook_not_due")

    @pytest.mark.parametrize("outcome", ["succeeded", "failed", "cancelled"])
    def test_the_end_of_a_search_is_told(
        self, client: TestClient, receiver: Receiver, redis_url: str, store: JobStore, tmp_path: Path, outcome: str
    ) -> None:
        data = token_ids(Storage(), Uri.parse(f"file://{tmp_path}/ids.npy"), tmp_path)
        answer = client.post("/tune", json=search_body(data, trials=1, webhook=receiver.url, labels={"team": "nlp"}))
        job_id = answer.json()["id"]
        searches = Searches(store, SharedSettings(redis_url=redis_url))
        search = Played(store, searches, job_id)
        if outcome == "cancelled":
            client.post(f"/jobs/{job_id}/cancel")
        else:
            search.step()
            (search.play if outcome == "succeeded" else search.fail)(search.live()[0])
            search.step()
        searches.close()
        wait_until(lambda: client.get(f"/jobs/{job_id}").json()["webhook"]["state"] == "delivered", 30)
        [came] = receiver.received
        secret = client.get("/webhook-secret").json()["secret"]
        told = SearchWebhookMessage.model_validate(Webhook(secret).verify(came.body, came.headers))
        job = TuneJob.model_validate(client.get(f"/jobs/{job_id}").json())
        assert (told.type, told.timestamp) == (f"search.{outcome}", job.finished_at)
        assert (told.data.best, told.data.error) == (job.result and job.result.best, job.error)
        assert (told.data.best is not None, told.data.error is not None) == (
            outcome == "succeeded",
            outcome == "failed",
        )
        again = client.post(f"/jobs/{job_id}/webhook")
        assert (again.status_code, again.json()["kind"]) == (202, "tune")
        wait_until(lambda: len(receiver.received) == 2, 30)

    def test_the_address_of_a_searchs_is_checked_too(self, client: TestClient, store: JobStore, tmp_path: Path) -> None:
        data = token_ids(Storage(), Uri.parse(f"file://{tmp_path}/ids.npy"), tmp_path)
        response = client.post("/tune", json=search_body(data, webhook="https://169.254.169.254/"))
        assert (response.status_code, response.json()["code"]) == (422, "invalid_webhook")
        assert store.list_jobs().jobs == []

    @pytest.mark.parametrize("url", ["http://127.0.0.1:1/", "https://169.254.169.254/", "https://a:b@hooks.internal/"])
    def test_addresses_are_checked_before_anything_is_made(
        self, client: TestClient, body: Body, store: JobStore, url: str
    ) -> None:
        for path in ("/plan", "/grow"):
            response = client.post(path, json=body | {"webhook": url})
            assert (response.status_code, response.json()["code"]) == (422, "invalid_webhook")
            assert response.json()["field"] == "/webhook"
        assert store.list_jobs().jobs == []

    def test_a_changed_secret(self, client: TestClient, body: Body, receiver: Receiver) -> None:
        former = client.get("/webhook-secret").json()["secret"]
        changed = client.post("/webhook-secret").json()["secret"]
        assert former != changed == client.get("/webhook-secret").json()["secret"]
        job_id = client.post("/grow", json=body | {"webhook": receiver.url}).json()["id"]
        client.post(f"/jobs/{job_id}/cancel")
        wait_until(lambda: len(receiver.received) == 1, 30)
        [came] = receiver.received
        for secret in (former, changed):
            Webhook(secret).verify(came.body, came.headers)
        with pytest.raises(WebhookVerificationError):
            Webhook("whsec_" + "A" * 43).verify(came.body, came.headers)


def test_a_former_secret_signs_for_a_day() -> None:
    secrets = Secrets(current="whsec_bmV3", former="whsec_b2xk", changed_at=0)
    assert secrets.good_at(FORMER_SECONDS * 1_000_000 - 1) == ["whsec_bmV3", "whsec_b2xk"]
    assert secrets.good_at(FORMER_SECONDS * 1_000_000) == ["whsec_bmV3"]


def test_it_is_tried_again_ever_later_and_then_no_more(
    store: JobStore, webhooks: Webhooks, receiver: Receiver, raw: redis.Redis
) -> None:
    receiver.answers = [500] * 20
    job = ended(store, receiver.url)
    waits = []
    for number in range(len(RETRY_SECONDS)):
        assert send(store, webhooks) == 1
        due = datetime.fromtimestamp(float(str(raw.zscore(WEBHOOKS, job.id))) / 1e6, UTC)
        waits.append((due - datetime.now(UTC)) / timedelta(seconds=1))
        found = store.get(job.id).webhook
        assert found is not None
        assert (found.state, found.attempts, found.error) == ("pending", number + 1, "it answered HTTP 500")
        assert send(store, webhooks) == 0
        raw.zadd(WEBHOOKS, {job.id: 0})
    assert waits == pytest.approx(RETRY_SECONDS, abs=60)
    send(store, webhooks)
    found = store.get(job.id).webhook
    assert found is not None
    assert (found.state, found.attempts) == ("failed", 10)
    assert raw.zcard(WEBHOOKS) == 0
    webhooks.send_again(job.id)
    receiver.answers = []
    assert send(store, webhooks) == 1
    found = store.get(job.id).webhook
    assert found is not None
    assert (found.state, found.attempts, found.error) == ("delivered", 1, None)
    assert len({came.headers["webhook-id"] for came in receiver.received}) == 1


@pytest.mark.parametrize(
    ("status", "state"), [(200, "delivered"), (299, "delivered"), (301, "pending"), (410, "failed"), (429, "pending")]
)
def test_what_an_answer_means(store: JobStore, webhooks: Webhooks, receiver: Receiver, status: int, state: str) -> None:
    receiver.answers = [status]
    job = ended(store, receiver.url)
    send(store, webhooks)
    found = store.get(job.id).webhook
    assert found is not None
    assert found.state == state


def test_redirects_are_not_followed(store: JobStore, webhooks: Webhooks, receiver: Receiver) -> None:
    with receiving() as canary:
        receiver.answers, receiver.location = [302, 307, 308], canary.url
        for _ in range(3):
            ended(store, receiver.url)
        assert send(store, webhooks) == 3
        assert (len(receiver.received), len(canary.received)) == (3, 0)


def test_proxies_of_the_environment_are_not_asked(
    store: JobStore, webhooks: Webhooks, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    with receiving() as canary:
        for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
            monkeypatch.setenv(name, f"http://127.0.0.1:{canary.port}")
        ended(store, receiver.url)
        send(store, webhooks)
        assert (len(receiver.received), len(canary.received)) == (1, 0)


def test_a_receiver_that_does_not_answer_is_left(
    store: JobStore, webhooks: Webhooks, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(courier, "ATTEMPT_SECONDS", 0.5)
    receiver.silent = threading.Event()
    job = ended(store, receiver.url)
    try:
        send(store, webhooks)
    finally:
        receiver.silent.set()
    found = store.get(job.id).webhook
    assert found is not None
    assert (found.state, found.error) == ("pending", "no answer within 0.5 s")


def test_a_name_is_resolved_once_and_the_connection_goes_there(store: JobStore, webhooks: Webhooks) -> None:
    with receiving() as checked, receiving("127.0.0.2") as canary:
        asked: list[str] = []

        async def rebinding(host: str, port: int) -> list[str]:
            asked.append(host)
            return ["127.0.0.1"] if len(asked) == 1 else ["127.0.0.2"]

        ended(store, f"http://hooks.internal:{checked.port}/")
        assert canary.port != checked.port
        asyncio.run(Courier(store, webhooks, ["hooks.internal"], resolve=rebinding).send_due())
        assert asked == ["hooks.internal"]
        [came] = checked.received
        assert came.headers["Host"] == f"hooks.internal:{checked.port}"
        assert canary.received == []


@pytest.mark.parametrize(
    "addresses",
    [
        ["127.0.0.1"],
        ["::1"],
        ["::ffff:127.0.0.1"],
        ["10.0.0.1"],
        ["169.254.169.254"],
        ["fe80::1%eth0"],
        ["8.8.8.8", "127.0.0.1"],
        [],
    ],
)
def test_names_that_lead_to_other_than_public_addresses(
    store: JobStore, webhooks: Webhooks, receiver: Receiver, addresses: list[str]
) -> None:
    async def resolve(host: str, port: int) -> list[str]:
        return addresses

    job = ended(store, f"https://hooks.example:{receiver.port}/")
    asyncio.run(Courier(store, webhooks, [], resolve=resolve).send_due())
    found = store.get(job.id).webhook
    assert found is not None
    assert (found.state, found.error) == ("pending", "its name does not resolve to public addresses")
    assert receiver.received == []


def test_the_certificate_must_be_of_the_name(store: JobStore, webhooks: Webhooks, tmp_path: Path) -> None:
    of_server, of_client = certified("hooks.internal", tmp_path)

    async def resolve(host: str, port: int) -> list[str]:
        return ["127.0.0.1"]

    with receiving(tls=of_server) as receiver:
        good, bad = (ended(store, f"https://{name}:{receiver.port}/") for name in ("hooks.internal", "other.internal"))
        trusted = ["hooks.internal", "other.internal"]
        asyncio.run(Courier(store, webhooks, trusted, tls=of_client, resolve=resolve).send_due())
        states = [found.state for found in (store.get(good.id).webhook, store.get(bad.id).webhook) if found]
        assert states == ["delivered", "pending"]
        assert len(receiver.received) == 1


def test_a_host_that_is_trusted_no_longer(store: JobStore, webhooks: Webhooks, receiver: Receiver) -> None:
    job = ended(store, receiver.url)
    send(store, webhooks, trusted=())
    found = store.get(job.id).webhook
    assert found is not None
    assert (found.state, found.error) == ("failed", "its address is not allowed")
    assert receiver.received == []


def test_no_word_of_the_url_is_on_record_but_in_the_request(
    store: JobStore, webhooks: Webhooks, receiver: Receiver
) -> None:
    receiver.answers = [500]
    job = ended(store, receiver.url)
    send(store, webhooks)
    told = store.get(job.id).model_dump_json(exclude={"request"}) + store.events(job.id).model_dump_json()
    assert "token=abc" not in told
    assert json.loads(receiver.received[0].body)["data"].keys() >= {"id", "status", "labels"}
    assert b"token=abc" not in receiver.received[0].body


def test_what_one_process_takes_no_other_sends(store: JobStore, webhooks: Webhooks, receiver: Receiver) -> None:
    for _ in range(5):
        ended(store, receiver.url)
    assert len(webhooks.take_due(10)) == 5
    assert webhooks.take_due(10) == []


def test_forgotten_jobs_have_no_webhook(redis_url: str, webhooks: Webhooks, raw: redis.Redis) -> None:
    store = JobStore(SharedSettings(redis_url=redis_url, record_retention_seconds=1, idempotency_seconds=1))
    job = ended(store, "https://hooks.example/")
    wait_until(lambda: store.forget_ended() == 1, 30)
    assert raw.zcard(WEBHOOKS) == 0
    webhooks.sent(job.id)
    assert not raw.exists(f"growth:job:{job.id}")
    store.close()
