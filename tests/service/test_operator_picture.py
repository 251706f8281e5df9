"""The operator's picture of a job that has one, and why there is none."""

from pathlib import Path
from typing import Any

from starlette.testclient import TestClient

from jobs.schema import MapPicture, OperatorPicture, Result
from jobs.store import JobStore
from tests.service.conftest import Body

PICTURE = OperatorPicture(
    pictures=[
        MapPicture(part="width", key="hidden", maps=["expand"], shape=(64, 32), grid=(1, 2), peak=1.5, cells="fwA=")
    ],
    left_out=0,
)


def succeeded(client: TestClient, store: JobStore, body: Body, picture: str | None) -> str:
    job_id = str(client.post("/grow", json=body).json()["id"])
    claim = store.claim(job_id, "worker")
    output = str(body["output"])
    manifest = f"{output}/model.safetensors.index.json"
    store.finish(
        job_id,
        claim.attempt,
        Result(output=output, manifest=manifest, bytes_written=1, objects=1, picture=picture),
    )
    return job_id


def refusal(client: TestClient, job_id: str) -> dict[str, Any]:
    answer = client.get(f"/jobs/{job_id}/operator")
    assert answer.status_code == 404
    return dict(answer.json())


def test_the_picture_is_what_the_worker_wrote(client: TestClient, store: JobStore, body: Body, tmp_path: Path) -> None:
    path = tmp_path / "picture.json"
    path.write_text(PICTURE.model_dump_json())
    job_id = succeeded(client, store, body, f"file://{path}")
    assert client.get(f"/jobs/{job_id}/operator").json() == PICTURE.model_dump(mode="json")


def test_a_job_without_one(client: TestClient, store: JobStore, body: Body) -> None:
    queued = str(client.post("/grow", json=body | {"output": f"{body['output']}-queued"}).json()["id"])
    assert refusal(client, queued)["code"] == "no_operator_picture"
    assert refusal(client, succeeded(client, store, body, None))["code"] == "no_operator_picture"
    assert refusal(client, "job-of-nobody")["code"] == "job_not_found"


def test_one_that_is_gone_or_another_file(client: TestClient, store: JobStore, body: Body, tmp_path: Path) -> None:
    path = tmp_path / "picture.json"
    job_id = succeeded(client, store, body, f"file://{path}")
    assert "no longer" in refusal(client, job_id)["detail"]
    path.write_text('{"password": "swordfish"}')
    assert "swordfish" not in str(refusal(client, job_id))
    path.write_bytes(b" " * (1 << 21) + PICTURE.model_dump_json().encode())
    assert refusal(client, job_id)["code"] == "no_operator_picture"
