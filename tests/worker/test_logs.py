"""Every line that a worker and its child write about a job is one JSON object, with the ids to follow the job by."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from jobs.origin import Origin
from jobs.queue import enqueue
from jobs.schema import GrowthRequest, Job, Plan, Status
from tests.worker.conftest import MakeFarm
from tests.worker.farm import Farm
from tests.worker.test_pretraining import CONFIG, PRETRAIN, untrained
from worker.planning import plan_of, source_checkpoint

REQUEST_ID = "ci-17.a"
# What a worker finds out as it starts may come before its first job, or beside it.
ABOUT_NO_JOB = ("celery.", "worker.conditions")


def _submit(farm: Farm, request: GrowthRequest) -> Job:
    plan = Plan.model_validate(plan_of(request, source_checkpoint(request, farm.storage)).summary())
    job, _ = farm.store.create(request, plan, "ada", origin=Origin(REQUEST_ID))
    enqueue(farm.celery, farm.store, job.id)
    return job


def _lines(log: Path) -> list[dict[str, Any]]:
    """What the worker's processes logged; before the first line Celery greets whoever started it."""
    text = log.read_text().splitlines()
    first = next(number for number, line in enumerate(text) if line.startswith("{"))
    return [json.loads(line) for line in text[first:]]


def test_a_job_is_followed_through_worker_and_child(make_farm: MakeFarm) -> None:
    farm = make_farm(log_format="json")
    # Of this config transformers complains in the child.
    source = {"config": {**CONFIG, "hidden_act": "nonsense"}, "pretrain": PRETRAIN}
    job = _submit(farm, untrained(farm, source=source))
    with farm.worker() as worker:
        assert farm.wait_for(job, Status.FAILED).request_id == REQUEST_ID
    ids = {"job_id": job.id, "attempt": 1, "request_id": REQUEST_ID}
    about = [line for line in _lines(worker.log) if not line["logger"].startswith(ABOUT_NO_JOB)]
    assert {line["logger"] for line in about} >= {"worker.attempt", "worker.pretraining"}
    for line in about:
        assert {name: line.get(name) for name in ids} == ids, line
        assert line["timestamp"].endswith("Z")


def test_threads_warnings_and_the_last_error_are_lines_with_ids_too() -> None:
    code = """if True:
        import logging, threading, warnings
        from telemetry.logs import configure_logs, working_on
        configure_logs("json")
        with working_on(job_id="job-1", attempt=2, request_id=None):
            warnings.warn("of a library")
            thread = threading.Thread(target=lambda: logging.getLogger("boto3").warning("in a thread"))
            thread.start(); thread.join()
            broken = threading.Thread(target=lambda: 1 / 0, name="broken")
            broken.start(); broken.join()
        raise RuntimeError("at the end")
    """
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    lines = [json.loads(line) for line in done.stderr.splitlines()]
    *inside, last = lines
    assert [line["logger"] for line in inside] == ["py.warnings", "boto3", "telemetry.logs"]
    assert all((line["job_id"], line["attempt"]) == ("job-1", 2) for line in inside)
    assert not any("request_id" in line for line in inside)
    assert "ZeroDivisionError" in inside[-1]["exception"]
    assert "RuntimeError: at the end" in last["exception"]
    assert "job_id" not in last
    assert done.returncode == 1
