"""Fits inside of jobs: reported, resumed by the next attempt, stopped when the user says so or the loss says so."""

import json
import signal
import time
from pathlib import Path
from typing import Any

import pytest

from jobs.schema import EventKind, FitPoint, GrowthRequest, Job, Stage, Status
from storage import Uri
from tests.tiny import corpus
from tests.worker.checks import check_output, logits
from tests.worker.conftest import MakeFarm
from tests.worker.direct import Moments, run_attempt
from tests.worker.farm import Farm
from tests.worker.processes import STOPPED_WITHIN_SECONDS, alive, signal_all, wait_until
from worker.accepted import ACCEPTED_FILE
from worker.errors import FitDiverged

ENDLESS = 1_000_000


class Enough(Exception):
    """The process would have died here."""


class DiesAt(Moments):
    """Ends the attempt at a step of the fit."""

    def __init__(self, step: int) -> None:
        super().__init__()
        self._step = step

    def fitted(self, point: FitPoint) -> None:
        super().fitted(point)
        if point.step == self._step:
            raise Enough


def fit_request(farm: Farm, llama: Path, **options: Any) -> GrowthRequest:
    data = farm.root.join("data/words.txt")
    farm.storage.put(data, "\n".join(corpus(400)).encode())
    method = {"name": "ligo", "batch_size": 4, "held_out_every": 4, **options}
    told = {"uri": str(data), "sequence_length": 32}
    return farm.request(farm.upload(llama), method=method, data=told)


def state_of(farm: Farm) -> set[str]:
    """Names of what the work itself has saved."""
    return {name for name in farm.names(Uri.parse(farm.settings.state_uri)) if not name.endswith(ACCEPTED_FILE)}


def test_a_fit_from_the_queue(make_farm: MakeFarm, llama: Path) -> None:
    farm = make_farm(fit_checkpoint_seconds=0.001)
    job = farm.submit(fit_request(farm, llama, steps=8))
    with farm.worker():
        ended = farm.wait_for(job, Status.SUCCEEDED)
        farm.wait_for_clearing()
    assert ended.result is not None
    assert ended.result.fit is not None
    assert [point.step for point in ended.result.fit.curve] == list(range(9))
    folder = check_output(farm, ended)
    assert len(list(folder.glob("operator-*.safetensors"))) == 1
    assert logits(folder).isfinite().all()
    told = [event.data for event in farm.store.events(job.id).events if event.kind is EventKind.FIT]
    assert {point["step"] for point in told if "held_out_loss" in point} == {0, 4, 8}
    assert not state_of(farm)

    operator = Uri.parse(job.request.output).join(next(folder.glob("operator-*")).name)
    again = farm.request(Uri.parse(str(job.request.source)), method={"name": "ligo", "operator": str(operator)})
    result = run_attempt(farm, again)
    assert "fitting" not in result.stage_seconds
    assert logits(farm.download(Uri.parse(result.output))).equal(logits(folder))


def test_the_next_attempt_goes_on(make_farm: MakeFarm, llama: Path) -> None:
    farm = make_farm(fit_checkpoint_seconds=1e-9)
    request = fit_request(farm, llama, steps=12)
    with pytest.raises(Enough):
        run_attempt(farm, request, DiesAt(7))
    assert len(state_of(farm)) == 1
    resumed, whole = Moments(), Moments()
    result = run_attempt(farm, request, resumed, attempt=2)
    assert [point.step for point in resumed.points] == list(range(7, 13))

    other = request.model_copy(update={"output": f"{request.output}-whole"})
    expected = run_attempt(farm, other, whole, job_id="job-2")
    assert result.fit == expected.fit
    assert logits(farm.download(Uri.parse(result.output))).equal(logits(farm.download(Uri.parse(expected.output))))


def test_other_data_begin_anew(make_farm: MakeFarm, llama: Path) -> None:
    farm = make_farm(fit_checkpoint_seconds=1e-9)
    request = fit_request(farm, llama, steps=12)
    with pytest.raises(Enough):
        run_attempt(farm, request, DiesAt(7))
    farm.storage.put(farm.root.join("data/words.txt"), "\n".join(corpus(400, seed=1)).encode())
    moments = Moments()
    run_attempt(farm, request, moments, attempt=2)
    assert moments.points[0].step == 0


@pytest.mark.parametrize("told", ["the main process", "every process"])
def test_a_worker_that_leaves_saves_the_fit(make_farm: MakeFarm, llama: Path, told: str) -> None:
    """Long before the next save is due, in the time that it has."""
    farm = make_farm(fit_checkpoint_seconds=3600, max_attempts=1)
    job = farm.submit(fit_request(farm, llama, steps=ENDLESS))
    with farm.worker() as worker:
        farm.wait_for_stage(job, Stage.FITTING)
        wait_until(lambda: max(steps_told(farm, job, attempt=1), default=0) >= 5)
        assert not state_of(farm)
        pids = worker.tree()
        started = time.monotonic()
        signal_all(pids[:1] if told == "the main process" else pids, signal.SIGTERM)
        assert worker.process.wait(20) == 0
        assert time.monotonic() - started < 20
    assert farm.store.get(job.id).status is Status.QUEUED
    assert len(state_of(farm)) == 1
    with farm.worker():
        wait_until(lambda: bool(steps_told(farm, job, attempt=2)))
        farm.store.request_cancel(job.id)
        farm.wait_for(job, Status.CANCELLED)
    assert steps_told(farm, job, attempt=2)[0] > 5


def steps_told(farm: Farm, job: Job, attempt: int) -> list[int]:
    found = farm.store.events(job.id, limit=100_000).events
    points = [FitPoint.model_validate(e.data) for e in found if e.kind is EventKind.FIT and e.attempt == attempt]
    return [point.step for point in points]


def test_cancelled_in_the_middle_of_a_fit(make_farm: MakeFarm, llama: Path) -> None:
    farm = make_farm(fit_checkpoint_seconds=0.001)
    job = farm.submit(fit_request(farm, llama, steps=ENDLESS))
    with farm.worker() as worker:
        farm.wait_for_stage(job, Stage.FITTING)
        wait_until(lambda: farm.store.get(job.id).progress > 0 and bool(state_of(farm)))
        (child,) = worker.children()
        started = time.monotonic()
        farm.store.request_cancel(job.id)
        farm.wait_for(job, Status.CANCELLED)
        assert time.monotonic() - started < STOPPED_WITHIN_SECONDS
        assert not alive(child)
        wait_until(lambda: not state_of(farm))
    assert not farm.names(Uri.parse(job.request.output))


def test_a_fit_that_diverges(make_farm: MakeFarm, llama: Path) -> None:
    farm = make_farm()
    wild = {"width_learning_rate": 1.0, "depth_learning_rate": 1.0, "gradient_clip": 0, "warmup_fraction": 0}
    request = fit_request(farm, llama, steps=200, decay="none", weight_decay=10, **wild)
    with pytest.raises(FitDiverged, match="at step"):
        run_attempt(farm, request)


def test_data_is_needed(make_farm: MakeFarm, llama: Path) -> None:
    farm = make_farm()
    job = farm.submit(farm.request(farm.upload(llama), method="ligo"))
    with farm.worker():
        ended = farm.wait_for(job, Status.FAILED)
    assert ended.error is not None
    assert json.loads(ended.error.model_dump_json())["code"] == "invalid_data"
