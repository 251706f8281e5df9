"""Hostile checkpoints: service and worker refuse them with the same documented code, in bounded memory."""

from pathlib import Path
from shutil import copytree
from typing import Any

import pytest
from starlette.testclient import TestClient

from jobs.schema import GrowthRequest, Result
from jobs.store import JobStore
from storage import Storage
from tests.hostile.codes import JOB_CODES, STATUSES
from tests.hostile.memory import CHILD_BYTES, SERVICE_BYTES, peak
from tests.hostile.sources import HARMLESS, PLANNED, RUN, Source
from tests.worker.direct import Moments
from worker.failures import concluded
from worker.messages import Failed, Work
from worker.run import run_job
from worker.settings import WorkerSettings

# As in a worker's child: a warning ends nothing there, and must not hide here what comes after it.
pytestmark = pytest.mark.filterwarnings("ignore")
TARGET = {"hidden_size": 64}


def spoiled(source: Source, llama: Path, folder: Path) -> dict[str, Any]:
    """A request for a copy of the checkpoint with the case's fault in it."""
    copytree(llama, folder / "source")
    source.spoil(folder / "source")
    return {
        "source": f"file://{folder}/source",
        "output": f"file://{folder}/grown",
        "target": TARGET,
        "method": "hypercloning",
    }


def run(body: dict[str, Any], folder: Path) -> Result | Failed:
    """How a worker's child ends on the request."""
    settings = WorkerSettings(state_uri=f"file://{folder}/state")
    work = Work(job_id="job-1", attempt=1, request=GrowthRequest.model_validate(body), plan=None)
    return concluded(lambda: run_job(work, Storage(), settings, Moments()))


def test_no_name_comes_twice() -> None:
    names = [source.name for source in (*PLANNED, *RUN, *HARMLESS)]
    assert len(set(names)) == len(names)


@pytest.mark.parametrize("source", PLANNED, ids=lambda source: source.name)
def test_what_service_and_worker_refuse_alike(
    source: Source, client: TestClient, store: JobStore, llama: Path, tmp_path: Path
) -> None:
    body = spoiled(source, llama, tmp_path)
    with peak() as grown:
        answer = client.post("/grow", json=body)
    assert (answer.json()["code"], answer.status_code) == (source.code, STATUSES[source.code]), answer.text
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert store.list_jobs().jobs == []
    assert grown.growth < SERVICE_BYTES
    _failed(source, body, tmp_path)


@pytest.mark.parametrize("source", RUN, ids=lambda source: source.name)
def test_what_the_work_finds(source: Source, llama: Path, tmp_path: Path) -> None:
    _failed(source, spoiled(source, llama, tmp_path), tmp_path)


@pytest.mark.parametrize("source", HARMLESS, ids=lambda source: source.name)
def test_what_changes_nothing(source: Source, llama: Path, tmp_path: Path) -> None:
    with peak() as grown:
        ended = run(spoiled(source, llama, tmp_path), tmp_path)
    assert isinstance(ended, Result), ended
    assert grown.growth < CHILD_BYTES


def _failed(source: Source, body: dict[str, Any], folder: Path) -> None:
    with peak() as grown:
        ended = run(body, folder)
    assert isinstance(ended, Failed), ended
    assert ended.failure.code == source.code, ended.failure
    assert ended.failure.code in JOB_CODES
    assert len(ended.failure.detail) < 400
    assert grown.growth < CHILD_BYTES
    assert not (folder / "grown" / "config.json").exists()
