"""The SDK against the real service: every call, and every way a call is refused."""

import threading
import time
import uuid
from collections.abc import Callable

import pytest

from client import GrowClient, JobFailed, JobFilter, NotFoundError, ProblemError, UnexpectedAnswer, WaitTimeout
from jobs.schema import Failure, GrowthRequest, Result, Stage, Status
from jobs.store import JobStore
from tests.client.conftest import Body, Connect
from tests.client.gateway import Answers, Gateway

UNKNOWN = "job-00000000000000-0000000000"
RESULT = Result(output="file:///grown", manifest="file:///grown/manifest", bytes_written=1, objects=1)
FAILURE = Failure(code="out_of_memory", detail="The fit needs more memory.", hint="Use a larger GPU.")


def test_plan_tells_the_sizes(client: GrowClient, body: Body) -> None:
    plan = client.plan(body)
    assert (plan.source.sizes["hidden_size"], plan.target.sizes["hidden_size"]) == (32, 64)
    assert plan.function_preserving
    assert plan == client.plan(GrowthRequest.model_validate(body))


def test_submitted_job_is_read_back(client: GrowClient, body: Body) -> None:
    job = client.submit(body)
    assert job.status is Status.QUEUED
    assert client.job(job.id).request == job.request
    assert job.request.output == body["output"]


def test_same_key_gives_the_same_job_and_no_key_a_conflict(client: GrowClient, body: Body) -> None:
    key = uuid.uuid4().hex
    assert client.submit(body, key).id == client.submit(body, key).id
    with pytest.raises(ProblemError) as refused:
        client.submit(body)
    assert (refused.value.status, refused.value.code) == (409, "output_reserved")


def test_cancel_ends_a_queued_job(client: GrowClient, body: Body) -> None:
    job = client.submit(body)
    assert client.cancel(job.id).status is Status.CANCELLED
    assert client.wait(job.id).status is Status.CANCELLED


def test_jobs_lists_over_pages_with_filters(client: GrowClient, new_body: Callable[..., Body]) -> None:
    label = ("run", uuid.uuid4().hex)
    made = [client.submit(new_body(labels=dict([label]))).id for _ in range(5)]
    client.cancel(made[2])
    assert [job.id for job in client.jobs(JobFilter(label=label), page_size=2)] == made[::-1]
    cancelled = JobFilter(label=label, status=Status.CANCELLED, method="hypercloning")
    assert [job.id for job in client.jobs(cancelled)] == [made[2]]
    second = client.job(made[1])
    since = JobFilter(label=label, created_from=second.created_at, created_before=client.job(made[3]).created_at)
    assert [job.id for job in client.jobs(since)] == [made[2], made[1]]


def test_wait_returns_when_the_job_ends(client: GrowClient, store: JobStore, body: Body) -> None:
    job = client.submit(body)
    attempt = store.claim(job.id, "worker").attempt
    with pytest.raises(WaitTimeout, match=r"still running after 0\.3 s") as late:
        client.wait(job.id, timeout_seconds=0.3)
    assert late.value.job.id == job.id
    store.update(job.id, attempt, stage=Stage.EXPANDING, progress=0.5)
    store.finish(job.id, attempt, RESULT)
    done = client.wait(job.id, timeout_seconds=30, check=True)
    assert done.result == RESULT


def test_wait_notices_the_end_at_once(client: GrowClient, store: JobStore, body: Body) -> None:
    job = client.submit(body)
    attempt = store.claim(job.id, "worker").attempt
    ending = threading.Timer(1.0, store.finish, (job.id, attempt, RESULT))
    ending.start()
    started = time.monotonic()
    assert client.wait(job.id, timeout_seconds=30).status is Status.SUCCEEDED
    assert 0.9 < time.monotonic() - started < 20.0
    ending.join()


def test_retry_makes_one_new_job(client: GrowClient, body: Body) -> None:
    ended = client.cancel(client.submit(body).id)
    retried = client.retry(ended.id)
    assert (retried.status, retried.retry_of) == (Status.QUEUED, ended.id)
    assert client.retry(ended.id).id == retried.id
    with pytest.raises(ProblemError, match="only a job that failed or was cancelled") as refused:
        client.retry(retried.id)
    assert refused.value.code == "not_retryable"


def test_wait_with_check_raises_for_a_failed_job(client: GrowClient, store: JobStore, body: Body) -> None:
    job = client.submit(body)
    store.finish(job.id, store.claim(job.id, "worker").attempt, FAILURE)
    assert client.wait(job.id).error == FAILURE
    with pytest.raises(JobFailed, match=r"failed: The fit needs more memory\. Use a larger GPU\."):
        client.wait(job.id, check=True)


def test_wait_with_check_raises_for_a_cancelled_job(client: GrowClient, body: Body) -> None:
    job = client.cancel(client.submit(body).id)
    with pytest.raises(JobFailed, match="ended cancelled"):
        client.wait(job.id, check=True)


def test_methods_and_architectures(client: GrowClient) -> None:
    methods = {method.name: method for method in client.methods()}
    assert methods["ligo"].fits
    assert "steps" in str(methods["ligo"].options["properties"])
    assert {"bert", "gpt2", "llama"} <= {family.model_type for family in client.architectures()}


def test_unknown_job_is_not_found(client: GrowClient) -> None:
    for call in (client.job, client.cancel, client.retry, client.wait, lambda job_id: list(client.events(job_id))):
        with pytest.raises(NotFoundError) as refused:
            call(UNKNOWN)
        assert refused.value.code == "job_not_found"


def test_an_id_is_one_segment_of_the_path(client: GrowClient) -> None:
    with pytest.raises(ProblemError):
        client.job("../methods")


def test_impossible_target_names_the_nearest(client: GrowClient, new_body: Callable[..., Body]) -> None:
    with pytest.raises(ProblemError) as refused:
        client.plan(new_body(target={"hidden_size": 16}))
    error = refused.value
    assert (error.status, error.code) == (422, "impossible_target")
    assert error.field is not None
    assert error.field.startswith("/target")
    assert error.nearest
    assert error.as_dict()["nearest"] == error.nearest


def test_unknown_field_is_refused_by_the_service(client: GrowClient, new_body: Callable[..., Body]) -> None:
    with pytest.raises(ProblemError) as refused:
        client.submit(new_body(tarrget={}))
    assert refused.value.field == "/tarrget"


def test_answers_of_something_else_are_told(connect: Connect, gateway: Gateway) -> None:
    client = connect(gateway.url, retries=0)
    gateway.faults.append(Answers(200, body=b'{"hello": "world"}'))
    with pytest.raises(UnexpectedAnswer, match="is not the service that this client knows: its MethodList has"):
        client.methods()
    gateway.faults.append(Answers(404))
    with pytest.raises(UnexpectedAnswer, match="HTTP 404 without problem details"):
        client.methods()
