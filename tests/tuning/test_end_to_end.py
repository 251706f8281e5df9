"""Searches by real workers: one and two of them, pruned, cancelled, and with a worker killed in the middle."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load
from starlette.testclient import TestClient

from growth.transfer_plan import TransferPlan
from jobs.schema import EventKind, FitPoint, Status
from jobs.searches import Searches
from jobs.tuning import TrialJob, TrialState, TuneJob
from service.app import create_app
from service.settings import ServiceSettings
from storage import Uri
from tests.tuning.samples import search_body, token_ids
from tests.worker.conftest import make_farm, redis  # noqa: F401
from tests.worker.direct import Moments
from tests.worker.farm import Farm
from tests.worker.processes import alive, hold_once, wait_until
from worker.messages import TrialWork
from worker.study import Study
from worker.trial import run_trial

ENDLESS = 400_000
Search = Callable[..., TuneJob]


@pytest.fixture
def farm(make_farm: Callable[..., Farm]) -> Farm:  # noqa: F811
    """Whose trainings save where they stand ten times a second."""
    return make_farm(fit_checkpoint_seconds=0.1)


@pytest.fixture
def client(farm: Farm) -> Iterator[TestClient]:
    app = create_app(ServiceSettings(redis_url=farm.settings.redis_url))
    with TestClient(app, "http://127.0.0.1", client=("127.0.0.1", 50_000)) as client:
        yield client


@pytest.fixture
def search(farm: Farm, client: TestClient) -> Search:
    data = token_ids(farm.storage, farm.root.join("data/ids.npy"), farm.folder)

    def submit(**changes: Any) -> TuneJob:
        answer = client.post("/tune", json=search_body(data, **changes))
        assert answer.status_code == 202, answer.text
        return TuneJob.model_validate(answer.json())

    return submit


def trials(farm: Farm, job: TuneJob) -> list[TrialJob]:
    return farm.store.trials(job.id)


def curve(trial: TrialJob) -> list[tuple[int, float | None]]:
    return [(point.step, point.held_out_loss) for point in trial.curve]


def saved_step(farm: Farm) -> int:
    """Where the only training stands that is under way; 0 where it has saved nothing."""
    state = Uri.parse(farm.settings.state_uri)
    found = [data for name, data in farm.objects(state).items() if name.startswith("pretraining-")]
    return int(load(found[0])["numbers"][-1, 0]) if found else 0


def test_one_worker_and_two_find_the_same(farm: Farm, client: TestClient, search: Search) -> None:
    wanted = {"trials": 2, "sampler": "random", "parallel": 2, "pruner": "none"}
    alone = search(**wanted)
    with farm.worker():
        first = farm.wait_for(alone, Status.SUCCEEDED, 120)
        with farm.worker():
            together = farm.wait_for(search(**wanted), Status.SUCCEEDED, 120)
            farm.wait_for_clearing()
    told = TuneJob.model_validate(client.get(f"/jobs/{first.id}").json())
    assert told == first
    assert told.trials is not None
    assert [trial.state for trial in told.trials] == [TrialState.COMPLETED] * 2
    for one, other in zip(trials(farm, first), trials(farm, together), strict=True):
        assert one.point == other.point
        assert curve(one) == curve(other)
        assert [step for step, _ in curve(one)] == list(range(11))
        assert one.result is not None
        assert one.result.held_out_loss < (one.curve[0].held_out_loss or 0.0)
    assert first.result is not None
    assert together.result is not None
    assert first.result.model_copy(update={"best": together.result.best}) == together.result
    assert TransferPlan.from_json(first.result.transfer).target.sizes.hidden_size == 64
    assert not farm.names(Uri.parse(farm.settings.state_uri))


def test_a_trial_that_is_no_good_ends_early(farm: Farm, search: Search) -> None:
    job = search(
        pretrain={"steps": 600, "batch_size": 4, "held_out_every": 15},
        search_space={"learning_rate": {"choices": [0.02, 1e-9]}},
        sampler="grid",
        pruner={"name": "median", "after_trials": 1, "after_fraction": 0.0},
        # Of which the grid takes the good one first.
        seed=0,
    )
    with farm.worker():
        ended = farm.wait_for(job, Status.SUCCEEDED, 120)
    good, bad = trials(farm, ended)
    assert good.point["learning_rate"] == 0.02
    assert bad.result is not None
    assert bad.result.pruned
    assert bad.result.steps < 600
    assert ended.result is not None
    assert (ended.result.best.number, ended.result.pruned) == (0, 1)
    assert ended.result.flops < ended.plan.flops


def test_a_killed_worker_costs_no_more_than_the_steps_since_the_last_checkpoint(farm: Farm, search: Search) -> None:
    job = search(trials=1, pretrain={"steps": 400, "batch_size": 4, "held_out_every": 10})
    with farm.worker() as worker:
        hold_once(
            worker.children,
            lambda: any(5 < len(trial.curve) < 35 for trial in trials(farm, job)) and saved_step(farm) > 0,
            120,
        )
        worker.kill()
    (lost,) = trials(farm, job)
    saved = saved_step(farm)
    with ExitStack() as stack:
        searches = Searches(farm.store, farm.settings)
        stack.callback(searches.close)
        study = Study(*searches.known(job.id))
        assert not study.ended(0)
        stack.enter_context(farm.worker())
        ended = farm.wait_for(job, Status.SUCCEEDED, 120)
    (resumed,) = trials(farm, ended)
    assert (resumed.id, resumed.attempt) == (lost.id, 2)
    again = [
        FitPoint.model_validate(event.data)
        for event in farm.store.events(resumed.id).events
        if event.kind is EventKind.PRETRAINING and event.attempt == 2
    ]
    assert again[0].step == saved + 1
    assert [point.step for point in resumed.curve] == list(range(0, 401, 10))
    work = TrialWork(job_id="job-whole", attempt=1, request=resumed.request)
    whole = Moments()
    result = run_trial(work, farm.storage, farm.settings, whole)
    assert resumed.result == result
    assert resumed.curve == [point for point in whole.training if point.held_out_loss is not None]


def test_cancelled_searches_stop_their_trials(farm: Farm, client: TestClient, search: Search, tmp_path: Path) -> None:
    job = search(pretrain={"steps": ENDLESS, "held_out_every": ENDLESS // 50}, trials=4, parallel=2)
    with farm.worker() as worker:
        wait_until(lambda: any(trial.curve for trial in trials(farm, job)), 120)
        (child,) = worker.children()
        assert client.post(f"/jobs/{job.id}/cancel").status_code == 200
        ended = farm.wait_for(job, Status.CANCELLED, 30)
        wait_until(lambda: not alive(child), 30)
        farm.wait_for_clearing()
    assert ended.trials is not None
    assert {trial.state for trial in ended.trials} == {TrialState.CANCELLED}
    assert len(ended.trials) == 2
    assert not farm.names(Uri.parse(farm.settings.state_uri))
