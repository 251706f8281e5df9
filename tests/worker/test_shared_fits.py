"""A fit that several processes share: the same losses, another attempt after a kill, nothing left after a stop."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from jobs.schema import FitReport, Result, Stage, Status
from storage import Uri
from tests.servers import free_port
from tests.worker.checks import check_output
from tests.worker.conftest import MakeFarm
from tests.worker.direct import Moments, run_attempt
from tests.worker.processes import STOPPED_WITHIN_SECONDS, alive, hold_once, signal_all, wait_until
from tests.worker.test_fits import ENDLESS, fit_request, state_of
from worker.errors import TooManyProcesses

TOLERANCE = 1e-5


def fit_of(result: Result | None) -> FitReport:
    assert result is not None
    assert result.fit is not None
    return result.fit


def losses(report: FitReport) -> list[float]:
    return [loss for point in report.curve for loss in (point.loss, point.held_out_loss) if loss is not None]


@pytest.mark.parametrize(("processes", "spread"), [(2, False), (4, True)])
def test_the_curve_is_that_of_one_process(make_farm: MakeFarm, llama: Path, processes: int, spread: bool) -> None:
    farm = make_farm(fit_processes=processes, fit_spreads_source=spread)
    request = fit_request(farm, llama, steps=6)
    job = farm.submit(request)
    with farm.worker():
        ended = farm.wait_for(job, Status.SUCCEEDED)
    check_output(farm, ended)
    other = request.model_copy(update={"output": f"{request.output}-alone"})
    alone = run_attempt(make_farm(), other, job_id="job-2")
    assert len(losses(fit_of(ended.result))) == 6 + 3
    assert losses(fit_of(ended.result)) == pytest.approx(losses(fit_of(alone)), abs=TOLERANCE)


def test_two_machines_share_a_fit(make_farm: MakeFarm, llama: Path, tmp_path: Path) -> None:
    meeting = f"127.0.0.1:{free_port()}"
    farm = make_farm(fit_nodes=2, fit_rendezvous=meeting)
    request = fit_request(farm, llama, steps=4)
    with further_machine(farm.environment, tmp_path / "node.log"):
        shared = run_attempt(farm, request)
    other = request.model_copy(update={"output": f"{request.output}-alone"})
    alone = run_attempt(make_farm(), other, job_id="job-2")
    assert losses(fit_of(shared)) == pytest.approx(losses(fit_of(alone)), abs=TOLERANCE)


@contextmanager
def further_machine(environment: dict[str, str], log: Path) -> Iterator[None]:
    with log.open("wb") as output:
        node = subprocess.Popen(
            [sys.executable, "-m", "worker.fit_node"],
            env={**os.environ, **environment},
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    try:
        yield
    finally:
        node.kill()
        node.wait()


def test_one_of_them_is_killed(make_farm: MakeFarm, llama: Path) -> None:
    farm = make_farm(fit_processes=2, fit_checkpoint_seconds=0.001)
    job = farm.submit(fit_request(farm, llama, steps=60))
    output = Uri.parse(job.request.output)
    with farm.worker() as worker:
        # In the middle: something is saved, and there are steps to be done.
        sharing = hold_once(worker.sharing, lambda: bool(state_of(farm)) and not farm.names(output), 120)
        signal_all(sharing[-1:], signal.SIGKILL)
        signal_all(sharing[:-1], signal.SIGCONT)
        ended = farm.wait_for(job, Status.SUCCEEDED, seconds=120)
    assert ended.attempt == 2
    assert [point.step for point in fit_of(ended.result).curve] == list(range(61))


def test_cancelled(make_farm: MakeFarm, llama: Path) -> None:
    farm = make_farm(fit_processes=2)
    job = farm.submit(fit_request(farm, llama, steps=ENDLESS))
    with farm.worker() as worker:
        wait_until(lambda: farm.store.get(job.id).progress > 0, seconds=120)
        sharing = worker.sharing()
        assert len(sharing) >= 2
        started = time.monotonic()
        farm.store.request_cancel(job.id)
        farm.wait_for(job, Status.CANCELLED)
        wait_until(lambda: not any(map(alive, sharing)))
        assert time.monotonic() - started < STOPPED_WITHIN_SECONDS
    assert not farm.names(Uri.parse(job.request.output))


def test_a_batch_smaller_than_the_processes(make_farm: MakeFarm, llama: Path) -> None:
    farm = make_farm(fit_processes=8)
    with pytest.raises(TooManyProcesses, match="8 processes share a fit on this worker, and batch_size is 4"):
        run_attempt(farm, fit_request(farm, llama, steps=2))


def test_what_one_of_them_tells_is_told(make_farm: MakeFarm, llama: Path) -> None:
    farm = make_farm(fit_processes=2)
    request = fit_request(farm, llama, steps=2)
    moments = Moments(on_stage={Stage.FITTING: lambda: farm.storage.delete(farm.root.join("data/words.txt"))})
    with pytest.raises(Exception, match="There is no data at"):
        run_attempt(farm, request, moments)
