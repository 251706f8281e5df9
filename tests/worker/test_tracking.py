"""A job in MLflow: its parameters, its curves, where its output is; and a server that fails harms no job."""

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx2
import pytest
from mlflow.tracking import MlflowClient

from jobs.schema import EventKind, Failure, FitPoint, Job, Status
from tests.servers import free_port
from tests.worker.conftest import MakeFarm
from tests.worker.mlflow_server import Recorder, mlflow_recorder
from tests.worker.processes import wait_until
from tests.worker.test_pretraining import PRETRAIN, untrained
from worker.tracking import Tracking

BLIND = (
    "import importlib.util; find = importlib.util.find_spec; "
    "importlib.util.find_spec = lambda name, *a: None if name == 'mlflow' else find(name, *a); "
)


def _curve(run: dict[str, Any], name: str) -> dict[int, float]:
    return {int(metric.get("step", 0)): metric["value"] for metric in run["metrics"] if metric["key"] == name}


def test_a_job_is_a_run(make_farm: MakeFarm, monkeypatch: pytest.MonkeyPatch) -> None:
    with mlflow_recorder() as recorder:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", recorder.url)
        farm = make_farm()
        job = farm.submit(untrained(farm, labels={"team": "nlp"}, verify=True))
        with farm.worker():
            ended = farm.wait_for(job, Status.SUCCEEDED)
    (run,) = recorder.runs.values()
    assert (run["name"], run["status"]) == (job.id, "FINISHED")
    assert run["params"]["method.name"] == "hypercloning"
    assert run["params"]["target.hidden_size"] == str(ended.plan.target.sizes["hidden_size"])
    assert run["params"]["source.parameters"] == str(ended.plan.source.parameters)
    assert run["tags"]["label.team"] == "nlp"
    assert ended.result is not None
    assert ended.result.pretraining is not None
    assert run["tags"]["growth.output"] == ended.result.output
    assert run["tags"]["growth.manifest"] == ended.result.manifest
    curve = _curve(run, "pretraining.held_out_loss")
    measured = [point for point in ended.result.pretraining.curve if point.held_out_loss is not None]
    assert curve == {point.step: pytest.approx(point.held_out_loss) for point in measured}
    assert max(curve) == PRETRAIN["steps"]
    told = {metric["key"] for metric in run["metrics"]}
    assert {"bytes_written", "stage_seconds.expanding", "verification.max_logit_difference"} <= told
    assert not _warnings(farm.store.events(job.id).events)


def _warnings(events: list[Any]) -> list[str]:
    return [event.data["message"] for event in events if event.kind is EventKind.LOG and "level" in event.data]


def test_a_server_that_is_away_harms_no_job(make_farm: MakeFarm, llama: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://user:secret@127.0.0.1:{free_port()}")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    farm = make_farm()
    job = farm.submit(farm.request(farm.upload(llama)))
    with farm.worker() as worker:
        farm.wait_for(job, Status.SUCCEEDED)
    events = farm.store.events(job.id).events
    (warning,) = _warnings(events)
    assert "goes on without it" in warning
    assert "secret" not in f"{events}{worker.log.read_text()}"


def _tracked(job: Job, attempt: int, warned: list[str]) -> Tracking:
    return Tracking(job, attempt, warned.append)


@pytest.fixture
def recorder(monkeypatch: pytest.MonkeyPatch) -> Any:
    with mlflow_recorder() as running:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", running.url)
        yield running


def test_attempts_at_a_job_are_one_run(recorder: Recorder, make_farm: MakeFarm, llama: Path) -> None:
    farm, warned = make_farm(), list[str]()
    job = farm.submit(farm.request(farm.upload(llama)))
    first = _tracked(job, 1, warned)
    first.point("fit", FitPoint(step=1, loss=2.5))
    first.close()
    second = _tracked(job, 2, warned)
    second.point("fit", FitPoint(step=2, loss=float("nan"), held_out_loss=2.0))
    second.end(Failure(code="out_of_memory", detail="No."))
    (run,) = recorder.runs.values()
    assert run["status"] == "FAILED"
    assert run["tags"]["growth.attempt"] == "2"
    assert run["tags"]["growth.failure"].startswith("out_of_memory")
    assert (_curve(run, "fit.loss"), _curve(run, "fit.held_out_loss")) == ({1: 2.5}, {2: 2.0})
    assert warned == []


def test_a_server_that_refuses_is_one_warning(recorder: Recorder, make_farm: MakeFarm, llama: Path) -> None:
    farm, warned = make_farm(), list[str]()
    recorder.broken = True
    tracking = _tracked(farm.submit(farm.request(farm.upload(llama))), 1, warned)
    for step in range(5):
        tracking.point("fit", FitPoint(step=step, loss=2.5))
    tracking.end(None)
    assert len(warned) == 1
    assert recorder.runs == {}


def test_a_cancelled_job_is_a_killed_run(recorder: Recorder, make_farm: MakeFarm, llama: Path) -> None:
    farm = make_farm()
    _tracked(farm.submit(farm.request(farm.upload(llama))), 1, []).end(None)
    wait_until(lambda: [run["status"] for run in recorder.runs.values()] == ["KILLED"])


def test_asked_for_and_not_installed() -> None:
    environment = {**os.environ, "MLFLOW_TRACKING_URI": "http://127.0.0.1:1"}
    command = [sys.executable, "-c", BLIND + "import worker.app"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert done.returncode == 2
    assert "pip install 'model-growth[mlflow]'" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.mlflow
@pytest.mark.timeout(600)
def test_a_real_server_shows_the_same(
    make_farm: MakeFarm, llama: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    port = free_port()
    place = ["--host", "127.0.0.1", "--port", str(port), "--backend-store-uri", f"sqlite:///{tmp_path}/mlflow.db"]
    command = [os.environ["MLFLOW"], "server", *place, "--workers", "1"]
    kept = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    with subprocess.Popen(command, env=kept, cwd=tmp_path, start_new_session=True) as server:
        try:
            url = f"http://127.0.0.1:{port}"
            wait_until(lambda: _healthy(url), 300)
            monkeypatch.setenv("MLFLOW_TRACKING_URI", url)
            farm = make_farm()
            job = farm.submit(untrained(farm, labels={"team": "nlp"}))
            with farm.worker():
                ended = farm.wait_for(job, Status.SUCCEEDED)
            _check_shown(url, ended)
            assert not _warnings(farm.store.events(job.id).events)
        finally:
            os.killpg(server.pid, signal.SIGKILL)


def _check_shown(url: str, ended: Job) -> None:
    client = MlflowClient(url)
    experiment = client.get_experiment_by_name("model-growth")
    assert experiment is not None
    (run,) = client.search_runs([experiment.experiment_id])
    assert (run.info.run_name, run.info.status) == (ended.id, "FINISHED")
    assert run.data.params["method.name"] == "hypercloning"
    assert run.data.tags["label.team"] == "nlp"
    assert ended.result is not None
    assert ended.result.pretraining is not None
    assert run.data.tags["growth.output"] == ended.result.output
    history = client.get_metric_history(run.info.run_id, "pretraining.held_out_loss")
    measured = [point for point in ended.result.pretraining.curve if point.held_out_loss is not None]
    assert {metric.step: metric.value for metric in history} == {point.step: point.held_out_loss for point in measured}


def _healthy(url: str) -> bool:
    try:
        return httpx2.get(f"{url}/health", timeout=5.0).status_code == 200
    except httpx2.TransportError:
        return False
