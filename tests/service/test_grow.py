"""Submitting and planning: what is accepted, and what it leaves behind."""

from pathlib import Path

import redis
from kombu.transport.redis import Channel
from starlette.testclient import TestClient

from jobs.queue import STEPS, make_celery, waiting_messages
from jobs.schema import Job, Plan, Status
from jobs.store import JobStore
from service.settings import ServiceSettings
from tests.jobs.samples import wait_until
from tests.servers import S3Server, plain_client
from tests.service.conftest import Body, ClientFactory


def test_accepted_job_is_on_record_and_in_the_queue(
    client: TestClient, body: Body, store: JobStore, settings: ServiceSettings, output: Path
) -> None:
    response = client.post("/grow", json=body)
    assert response.status_code == 202
    job = Job.model_validate(response.json())
    assert job.status is Status.QUEUED
    assert job.queue_position == 0
    assert job.owner == "local"
    assert job.request.method.name == "hypercloning"
    assert job.plan.target.sizes["hidden_size"] == 64
    assert job.plan.function_preserving
    assert response.headers["Location"] == f"/jobs/{job.id}"
    assert "Idempotency-Replayed" not in response.headers
    assert store.get(job.id) == job
    celery = make_celery(settings)
    wait_until(lambda: waiting_messages(celery) == 1)
    celery.close()
    assert not output.exists()


def test_location_leads_to_the_job(client: TestClient, body: Body) -> None:
    response = client.post("/grow", json=body)
    assert client.get(response.headers["Location"]).json() == response.json()


def test_plan_is_the_jobs_plan_and_creates_nothing(
    client: TestClient, body: Body, store: JobStore, output: Path, redis_url: str
) -> None:
    response = client.post("/plan", json=body)
    assert response.status_code == 200
    plan = Plan.model_validate(response.json())
    assert plan.method == {"name": "hypercloning", "depth": "identity", "split": "even", "snr_db": None}
    assert store.list_jobs().jobs == []
    assert not output.exists()
    assert client.post("/grow", json=body).json()["plan"] == response.json()


def test_source_output_and_data_on_s3(client_with: ClientFactory, body: Body, llama: Path, moto: S3Server) -> None:
    s3 = plain_client(moto)
    for file in llama.iterdir():
        s3.upload_file(str(file), moto.bucket, f"small/{file.name}")
    s3.put_object(Bucket=moto.bucket, Key="corpus/part-1.txt", Body=b"some text")
    client = client_with(
        s3_endpoint_url=moto.endpoint_url, s3_access_key_id=moto.access_key, s3_secret_access_key=moto.secret_key
    )
    body |= {
        "source": f"s3://{moto.bucket}/small",
        "output": f"s3://{moto.bucket}/large/",
        "data": {"uri": f"s3://{moto.bucket}/corpus/"},
        "method": {"name": "ligo", "steps": 5},
    }
    response = client.post("/grow", json=body)
    assert response.status_code == 202, response.text
    assert response.json()["plan"]["source"]["sizes"]["hidden_size"] == 32
    assert "Contents" not in s3.list_objects_v2(Bucket=moto.bucket, Prefix="large")


def test_fitting_method_takes_a_fitted_operator_instead_of_data(client: TestClient, body: Body, tmp_path: Path) -> None:
    operator = tmp_path / "operator.safetensors"
    body["method"] = {"name": "ligo", "operator": f"file://{operator}"}
    refused = client.post("/grow", json=body).json()
    assert (refused["code"], refused["field"]) == ("invalid_operator", "/method/operator")
    operator.write_bytes(b"fitted")
    assert client.post("/grow", json=body).status_code == 202


def test_output_of_a_live_job_is_reserved_without_telling_whose(client: TestClient, body: Body, output: Path) -> None:
    held = client.post("/grow", json=body).json()
    response = client.post("/grow", json=body | {"output": f"file://{output}/inside"})
    assert response.status_code == 409
    problem = response.json()
    assert (problem["code"], problem["field"]) == ("output_reserved", "/output")
    assert held["id"] not in response.text
    assert str(output) not in response.text
    client.post(f"/jobs/{held['id']}/cancel")
    assert client.post("/grow", json=body | {"output": f"file://{output}/inside"}).status_code == 202


def test_a_message_that_can_not_be_sent_does_not_undo_the_202(
    client: TestClient, body: Body, redis_url: str, store: JobStore
) -> None:
    with redis.Redis.from_url(redis_url) as raw:
        raw.set(f"growth:celery:growth{Channel.sep}{STEPS['normal']}", "not a list")
    response = client.post("/grow", json=body)
    assert response.status_code == 202, response.text
    assert store.published_jobs() == 0
