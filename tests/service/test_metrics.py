"""`GET /metrics`: conventional, the same from every process, and there while the job store is away."""

import re

from prometheus_client.parser import text_string_to_metric_families
from starlette.testclient import TestClient

from jobs.schema import Stage
from jobs.store import JobStore
from tests.jobs.samples import RESULT
from tests.service.conftest import Body, ClientFactory
from tests.service.keys import api_key

UNITS = ("_total", "_seconds", "_bytes", "_up", "_jobs", "_queued", "_unfinished")


def samples(client: TestClient) -> dict[str, float]:
    """Every sample as `name{label="value"}`."""
    answer = client.get("/metrics")
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("text/plain; version=")
    lines = [line.rpartition(" ") for line in answer.text.splitlines() if not line.startswith("#")]
    return {name: float(value) for name, _, value in lines}


def test_a_job_from_queue_to_end(client: TestClient, store: JobStore, body: Body) -> None:
    before = samples(client)
    assert before['growth_jobs_queued{priority="normal"}'] == 0
    job_id = client.post("/grow", json={**body, "priority": "high"}).json()["id"]
    queued = samples(client)
    assert queued['growth_jobs_queued{priority="high"}'] == 1
    assert (queued["growth_jobs_submitted_total"], queued["growth_jobs_unfinished"]) == (1, 1)

    store.claim(job_id, "gpu-1:7")
    store.update(job_id, 1, stage=Stage.PLANNING)
    store.use(job_id, 1, {"bytes_read": 10, "bytes_written": 4, "fit_steps": 2, "gpu_memory_bytes": 3})
    running = samples(client)
    assert running['growth_jobs{status="running"}'] == 1
    assert running['growth_worker_gpu_memory_bytes{worker="gpu-1:7"}'] == 3
    assert running["growth_jobs_unfinished"] == 1

    store.finish(job_id, 1, RESULT)
    ended = samples(client)
    assert ended['growth_jobs_ended_total{status="succeeded"}'] == 1
    assert ended['growth_attempts_ended_total{outcome="succeeded"}'] == 1
    assert ended["growth_attempts_total"] == 1
    assert ended["growth_storage_read_bytes_total"] == 10
    assert ended["growth_fit_steps_total"] == 2
    assert ended['growth_stage_seconds_bucket{le="1.0",stage="planning"}'] == 1
    assert ended['growth_stage_seconds_bucket{le="+Inf",stage="planning"}'] == 1
    assert ended['growth_stage_seconds_count{stage="planning"}'] == 1
    assert ended["growth_queue_wait_seconds_count"] == 1
    assert ended["growth_jobs_unfinished"] == 0
    assert not any(name.startswith("growth_worker") for name in ended)


def test_requests_are_counted_by_the_template_of_their_path(client: TestClient) -> None:
    for path in ("/jobs/job-1", "/jobs/job-2", "/nowhere/1", "/nowhere/2"):
        client.get(path)
    client.request("INVENTED", "/healthz")
    seen = samples(client)
    counts = {name: value for name, value in seen.items() if name.startswith("growth_http_requests_total")}
    assert counts == {
        'growth_http_requests_total{method="GET",route="/jobs/{job_id}",status="404"}': 2,
        'growth_http_requests_total{method="GET",route="none",status="404"}': 2,
        'growth_http_requests_total{method="other",route="/healthz",status="405"}': 1,
    }
    assert seen['growth_http_request_seconds_count{method="GET",route="/jobs/{job_id}"}'] == 2


def test_a_silent_job_store_is_a_number_too(client_with: ClientFactory, free_port: int) -> None:
    seen = samples(client_with(redis_url=f"redis://127.0.0.1:{free_port}/0"))
    assert seen["growth_job_store_up"] == 0
    assert "growth_jobs_unfinished" not in seen
    assert "process_resident_memory_bytes" in seen


def test_it_needs_no_key_and_tells_no_owner(client_with: ClientFactory, body: Body) -> None:
    client = client_with(api_keys=[api_key("ada")], peer="203.0.113.9")
    answer = client.get("/metrics")
    assert answer.status_code == 200
    assert "ada" not in answer.text


def test_names_and_units_are_conventional(client: TestClient) -> None:
    client.get("/healthz")
    found = list(text_string_to_metric_families(client.get("/metrics").text))
    for family in found:
        if not family.name.startswith(("process_", "python_")) and not family.name.endswith("_created"):
            name = f"{family.name}_total" if family.type == "counter" else family.name
            assert re.fullmatch(r"growth_[a-z_]+", name)
            assert name.endswith(UNITS)
            assert family.documentation.endswith(".")
