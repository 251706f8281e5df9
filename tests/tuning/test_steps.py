"""Steps of a search: what comes next, what came of it, and that it does not matter who takes them, or how often."""

from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest
import redis
from starlette.testclient import TestClient

from growth.config import ModelConfig
from growth.mutransfer import transfer
from growth.transfer_plan import TransferPlan
from jobs.errors import LeaseLost
from jobs.queue import make_celery
from jobs.reconcile import reconcile_once
from jobs.schema import EventKind, Failure, Status
from jobs.search_space import Name
from jobs.searches import Searches
from jobs.store import JobStore
from jobs.tuning import TrialJob, TrialState, TuneJob
from service.settings import ServiceSettings
from tests.jobs.samples import wait_until
from tests.tuning.conftest import Submit
from tests.tuning.played import DIVERGED, Played, steady

Play = Callable[..., Played]


@pytest.fixture
def played(store: JobStore, searches: Searches, submit: Submit) -> Play:
    return lambda **changes: Played(store, searches, submit(**changes).id)


def points(played: Played) -> list[dict[Name, float]]:
    return [trial.point for trial in played.store.trials(played.search_id)]


def test_one_trial_after_the_other(played: Play) -> None:
    search = played(trials=4)
    ended = search.to_the_end()
    assert ended.trials is not None
    assert [trial.number for trial in ended.trials] == [0, 1, 2, 3]
    assert search.begun == [trial.job_id for trial in ended.trials]
    assert ended.result is not None
    lowest = min(ended.trials, key=lambda trial: trial.held_out_loss or 0.0)
    assert (ended.result.best.number, ended.result.best.point) == (lowest.number, lowest.point)
    assert [point.step for point in lowest.curve] == list(range(11))
    assert [point.held_out_loss for point in lowest.curve] == [
        steady(search.store.trials(search.search_id)[lowest.number], step) for step in range(11)
    ]
    per_step = 3 * ended.plan.proxy.flops_per_token * 4 * 16
    assert [trial.flops for trial in ended.trials] == [10 * per_step] * 4
    assert (ended.result.flops, ended.plan.flops, ended.progress) == (40 * per_step, 40 * per_step, 1.0)


def test_the_result_is_the_plan_for_the_target(played: Play) -> None:
    ended = played(trials=2, search_space={"learning_rate": {"choices": [0.01]}}).to_the_end()
    assert ended.result is not None
    plan = TransferPlan.from_json(ended.result.transfer)
    assert (plan.base.sizes.hidden_size, plan.target.sizes.hidden_size) == (16, 64)
    expected = transfer(plan.base, plan.target)
    matrix = "model.layers.1.mlp.up_proj.weight"
    assert plan.parameters[matrix] == expected.parameters[matrix]
    assert plan.parameters[matrix].learning_rate == 0.25
    assert plan.parameters["model.embed_tokens.weight"].weight_decay == 0.0
    hyperparameters = ended.result.transfer["hyperparameters"]
    assert isinstance(hyperparameters, dict)
    assert hyperparameters["learning_rate"] == ended.result.hyperparameters["learning_rate"] == 0.01


def test_what_is_drawn_reaches_the_trial(played: Play) -> None:
    space = {
        "batch_size": {"low": 2, "high": 8, "step": 3},
        "beta2": {"choices": [0.95]},
        "weight_decay": {"low": 0.01, "high": 0.1, "log": True},
        "warmup_fraction": {"low": 0.0, "high": 0.5, "step": 0.25},
        "initializer_range": {"low": 0.01, "high": 0.03},
    }
    search = played(trials=6, parallel=6, sampler="random", search_space=space)
    search.step()
    trials = search.live()
    assert len(trials) == 6
    for trial in trials:
        train = trial.request.source.pretrain
        assert train.batch_size in (2, 5, 8)
        assert (train.batch_size, train.beta2, train.weight_decay, train.warmup_fraction) == tuple(
            trial.point[name] for name in ("batch_size", "beta2", "weight_decay", "warmup_fraction")
        )
        assert train.warmup_fraction in (0.0, 0.25, 0.5)
        assert 0.01 <= train.weight_decay <= 0.1
        assert ModelConfig.from_dict(trial.request.source.config).initializer_range == trial.point["initializer_range"]
    assert len({trial.point["weight_decay"] for trial in trials}) == 6


def test_no_more_trials_side_by_side_than_asked_for(played: Play) -> None:
    search = played(trials=5, parallel=2)
    search.step()
    while live := search.live():
        assert len(live) == min(2, 5 - len(search.store.trials(search.search_id)) + len(live))
        search.play(live[-1])
        search.step()
    assert search.search().status is Status.SUCCEEDED
    assert len(points(search)) == 5


def test_the_seed_fixes_the_points(played: Play) -> None:
    space = {"learning_rate": {"low": 1e-4, "high": 1e-1, "log": True}, "beta2": {"low": 0.9, "high": 0.999}}
    runs = [played(trials=12, search_space=space, seed=seed) for seed in (1, 1, 2)]
    for run in runs:
        run.to_the_end()
    first, again, other = map(points, runs)
    assert first == again
    assert first != other
    assert len({point["learning_rate"] for point in first}) == 12


@pytest.mark.parametrize("sampler", ["random", "grid"])
def test_the_seed_fixes_them_side_by_side_too(played: Play, sampler: str) -> None:
    one, other = (played(trials=6, parallel=parallel, sampler=sampler) for parallel in (1, 4))
    one.to_the_end()
    other.to_the_end()
    assert sorted(p["learning_rate"] for p in points(one)) == sorted(p["learning_rate"] for p in points(other))


def test_tpe_learns_where_it_is_better(played: Play) -> None:
    space = {"learning_rate": {"low": 2.0**-12, "high": 2.0**-1, "log": True}}
    search = played(trials=20, search_space=space, pruner="none")
    search.to_the_end()
    near = [2.0**-7.5 < point["learning_rate"] < 2.0**-4.5 for point in points(search)]
    assert sum(near[10:]) / 10 > 2 * 3 / 11


def test_a_grid_is_walked_once(played: Play) -> None:
    space = {"learning_rate": {"powers_of_two": [-8, -6]}, "warmup_fraction": {"low": 0.0, "high": 0.1, "step": 0.1}}
    search = played(trials=100, parallel=2, sampler="grid", search_space=space)
    assert search.search().plan.trials == 6
    assert search.search().plan.notes == ["The grid has 6 points, so there are 6 trials and not 100."]
    search.to_the_end()
    found = Counter((point["learning_rate"], point["warmup_fraction"]) for point in points(search))
    assert found == Counter((rate, warmup) for rate in (2.0**-8, 2.0**-7, 2.0**-6) for warmup in (0.0, 0.1))


@pytest.mark.parametrize(("pruner", "most_steps"), [("median", 3), ("successive_halving", 1)])
def test_what_is_worse_than_the_others_ends_early(played: Play, pruner: str, most_steps: int) -> None:
    search = played(trials=6, pruner=pruner, search_space={"learning_rate": {"powers_of_two": [-8, -3]}})
    ended = search.to_the_end(lambda trial, step: (1.0 if trial.number < 5 else 9.0) + trial.number / 10 - step / 100)
    assert ended.trials is not None
    last = ended.trials[-1]
    assert last.state is TrialState.PRUNED
    assert last.steps <= most_steps
    assert ended.trials[0].state is TrialState.COMPLETED
    assert ended.result is not None
    assert ended.result.best.number == 0
    assert ended.result.pruned >= 1
    assert ended.result.flops < ended.plan.flops


def test_nothing_is_pruned_where_that_is_not_wanted(played: Play) -> None:
    ended = played(trials=6, pruner="none").to_the_end(lambda trial, step: float(trial.number))
    assert ended.result is not None
    assert (ended.result.completed, ended.result.pruned) == (6, 0)


def test_a_trial_that_is_resumed_is_the_same_trial(played: Play) -> None:
    search = played(trials=1)
    search.step()
    (trial,) = search.live()
    attempt = search.store.claim(trial.id, "worker").attempt
    for step in (0, 1, 2):
        assert not search.measure(trial, attempt, step, 3.0 - step)
    search.store.release(trial.id, attempt, counts=True)
    with pytest.raises(LeaseLost):
        search.measure(trial, attempt, 3, 0.5)
    search.step()
    assert [found.id for found in search.live()] == [trial.id]
    search.play(trial)
    search.step()
    ended = search.search()
    assert ended.trials is not None
    assert len(ended.trials) == 1
    assert [point.step for point in ended.trials[0].curve] == list(range(11))
    assert ended.trials[0].attempt == 2


def test_a_trial_told_to_end_early_is_told_so_after_its_worker_was_lost(played: Play) -> None:
    search = played(trials=6, pruner="median")
    search.step()
    for _ in range(5):
        search.play(search.live()[0], lambda trial, step: 1.0)
        search.step()
    (trial,) = search.live()
    attempt = search.store.claim(trial.id, "worker").attempt
    assert [search.measure(trial, attempt, step, 5.0) for step in (0, 1, 2)] == [False, False, True]
    search.store.release(trial.id, attempt, counts=True)
    claimed = search.store.claim(trial.id, "worker").job
    assert isinstance(claimed, TrialJob)
    assert claimed.pruned


def test_of_many_steps_at_once_one_counts(played: Play) -> None:
    search = played(trials=8, parallel=4)
    with ThreadPoolExecutor(8) as threads:
        list(threads.map(lambda _: search.step(), range(8)))
        assert len(points(search)) == len(search.begun) == 4
        search.play(search.live()[0])
        list(threads.map(lambda _: search.step(), range(8)))
    assert len(points(search)) == len(search.begun) == 5
    search.to_the_end()
    assert len(points(search)) == 8


def test_a_step_that_was_lost_is_made_up_for(played: Play, settings: ServiceSettings) -> None:
    """The worker died between the end of its trial and the step; the message that tells so is lost as well."""
    search = played(trials=2)
    search.step()
    search.play(search.live()[0])
    celery = make_celery(settings)
    store = search.store
    wait_until(lambda: store.take_due() == [search.search_id])
    store.mark_published(search.search_id)
    assert store.published_jobs() == 1
    assert store.republish(1, 0.0) == [search.search_id]
    assert reconcile_once(store, celery).published >= 1
    search.step()
    assert store.published_jobs() == 0
    assert search.search_id not in store.take_due()
    assert len(search.live()) == 1
    celery.close()


def test_diverged_trials_are_the_worst(played: Play) -> None:
    search = played(trials=3)
    search.step()
    search.fail(search.live()[0])
    search.step()
    ended = search.to_the_end()
    assert ended.trials is not None
    assert ended.result is not None
    assert ended.trials[0].state is TrialState.DIVERGED
    assert (ended.result.completed, ended.result.diverged) == (2, 1)
    assert ended.result.best.number != 0


def test_what_is_wrong_with_one_trial_alone_does_not_end_the_search(played: Play) -> None:
    search = played(trials=2)
    search.step()
    search.fail(search.live()[0], Failure(code="out_of_memory", detail="The job needs more memory."))
    ended = search.to_the_end()
    assert ended.result is not None
    assert (ended.result.completed, ended.result.failed) == (1, 1)


def test_what_is_wrong_with_every_trial_ends_the_search(played: Play) -> None:
    search = played(trials=4, parallel=3)
    search.step()
    first, second, third = search.live()
    attempt = search.store.claim(second.id, "worker").attempt
    search.fail(first, Failure(code="invalid_config", detail="No such model.", field="/source/config"))
    search.step()
    ended = search.search()
    assert ended.status is Status.FAILED
    assert ended.error is not None
    assert (ended.error.code, ended.error.field) == ("invalid_config", "/proxy")
    assert search.store.get(second.id).cancel_requested
    assert search.store.get(third.id).status is Status.CANCELLED
    search.store.finish(second.id, attempt, None)
    search.step()
    assert search.search().status is Status.FAILED


def test_a_search_without_a_completed_trial_fails(played: Play) -> None:
    search = played(trials=2)
    for _ in range(2):
        search.step()
        search.fail(search.live()[0], DIVERGED)
    search.step()
    ended = search.search()
    assert ended.error is not None
    assert (ended.status, ended.error.code) == (Status.FAILED, "no_trial_completed")


def test_a_search_is_cancelled_with_its_trials(played: Play, client: TestClient) -> None:
    search = played(trials=6, parallel=3)
    search.step()
    running, queued, other = search.live()
    attempt = search.store.claim(running.id, "worker").attempt
    assert client.post(f"/jobs/{search.search_id}/cancel").json()["cancel_requested"]
    assert [search.store.get(trial.id).status for trial in (queued, other)] == [Status.CANCELLED] * 2
    assert search.store.renew(running.id, attempt)
    search.step()
    assert search.search().status is Status.RUNNING
    assert len(points(search)) == 3
    search.store.finish(running.id, attempt, None)
    assert search.search().status is Status.CANCELLED
    search.step()
    assert len(points(search)) == 3


@pytest.mark.parametrize("begun", [False, True])
def test_a_search_that_nobody_works_on_is_cancelled_at_once(played: Play, begun: bool) -> None:
    search = played()
    if begun:
        search.step()
    assert search.store.request_cancel(search.search_id).status is Status.CANCELLED
    search.step()
    assert not search.live()


def test_a_cancelled_search_is_made_again(played: Play, client: TestClient) -> None:
    search = played(trials=2)
    search.step()
    (trial,) = search.live()
    assert client.post(f"/jobs/{search.search_id}/retry").json()["code"] == "not_retryable"
    assert client.post(f"/jobs/{trial.id}/retry").json()["code"] == "not_retryable"
    search.store.request_cancel(search.search_id)
    answer = client.post(f"/jobs/{search.search_id}/retry")
    assert answer.status_code == 202
    again = TuneJob.model_validate(answer.json())
    assert (again.retry_of, again.request) == (search.search_id, search.search().request)
    assert client.post(f"/jobs/{search.search_id}/retry").json()["id"] == again.id
    Played(search.store, search.searches, again.id).to_the_end()


def test_what_happens_to_trials_is_told_in_the_search(played: Play) -> None:
    search = played(trials=1)
    ended = search.to_the_end()
    told = [event for event in search.store.events(ended.id).events if event.kind is EventKind.TRIAL]
    assert [event.data["status"] for event in told if "status" in event.data] == ["queued", "running", "succeeded"]
    assert [event.data["step"] for event in told if "step" in event.data] == list(range(11))
    assert {event.data["job_id"] for event in told} == set(search.begun)
    assert ended.version > len(told)


def test_nothing_of_a_search_stays_after_its_retention(
    played: Play, settings: ServiceSettings, store: JobStore
) -> None:
    search = played(trials=2, labels={"team": "nlp"})
    search.to_the_end()
    short = JobStore(settings.model_copy(update={"record_retention_seconds": 0}))
    with redis.Redis.from_url(settings.redis_url, decode_responses=True) as client:
        assert f"growth:journal:{search.search_id}" not in set(client.scan_iter())
        wait_until(lambda: short.forget_ended() == 1)
        of_all = ("celery", "idempotency", "pace", "counters")
        left = {key for key in client.scan_iter() if not any(word in key for word in of_all)}
    short.close()
    assert left == set()
