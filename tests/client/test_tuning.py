"""`grow tune` and the SDK's `tune`, against a service whose trials the test plays."""

import io
import json
import threading
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console
from typer.testing import CliRunner, Result

from client import GrowClient, ProblemError
from client.calls import JobFilter
from client.cli import app
from client.show import job as shown_job
from client.watching_search import SearchWatch
from jobs.schema import EventKind, Status
from jobs.searches import Searches
from jobs.settings import SharedSettings
from jobs.store import JobStore
from jobs.tuning import TrialJob, TuneJob, TuneRequest
from storage import Storage, Uri
from tests.client.conftest import Grow
from tests.tuning.played import Played
from tests.tuning.samples import TARGET, Body, search_body, token_ids

Play = Callable[[str], Played]


@pytest.fixture
def wanted(tmp_path: Path) -> Body:
    return search_body(token_ids(Storage(), Uri.parse(f"file://{tmp_path}/data/ids.npy"), tmp_path))


@pytest.fixture
def play(redis_url: str, store: JobStore) -> Iterator[Play]:
    searches = Searches(store, SharedSettings(redis_url=redis_url))
    yield lambda search_id: Played(store, searches, search_id)
    searches.close()


def test_a_search_from_submission_to_result(client: GrowClient, wanted: Body, play: Play) -> None:
    search = client.tune(TuneRequest.model_validate(wanted))
    assert search.status is Status.QUEUED
    key = uuid.uuid4().hex
    assert client.tune(wanted, key).id == client.tune(wanted, key).id
    play(search.id).to_the_end()
    ended = client.wait(search.id, 30, check=True)
    assert isinstance(ended, TuneJob)
    assert ended.trials is not None
    assert len(ended.trials) == 3
    trial = client.job(ended.trials[0].job_id)
    assert isinstance(trial, TrialJob)
    assert trial.curve == ended.trials[0].curve
    kinds = {event.kind for event in client.events(search.id)}
    assert kinds == {EventKind.STATUS, EventKind.PROGRESS, EventKind.TRIAL}
    assert search.id in [job.id for job in client.jobs(JobFilter(kind="tune"))]


def test_a_refusal_is_told_with_what_works(client: GrowClient, wanted: Body) -> None:
    with pytest.raises(ProblemError) as refused:
        client.tune(wanted | {"proxy": {"width_ratio": 3}})
    assert (refused.value.code, refused.value.nearest) == ("impossible_proxy", {"width_ratio": 2})


def test_the_command_waits_and_shows_the_trials(
    grow: Grow,
    wanted: Body,
    play: Play,
    store: JobStore,
    tmp_path: Path,
) -> None:
    (tmp_path / "search.json").write_text(json.dumps(wanted | {"labels": {"test": str(tmp_path)}}))
    done: list[Result] = []
    waiting = threading.Thread(target=lambda: done.append(grow("tune", str(tmp_path / "search.json"), "--wait")))
    waiting.start()
    search = _submitted(store, tmp_path)
    play(search.id).to_the_end()
    waiting.join(60)
    (result,) = done
    assert result.exit_code == 0, result.output
    assert result.stdout.count("succeeded") >= 4
    for part in ("held-out loss", "completed", "4 times narrower", "best"):
        assert part in result.stdout
    assert "trial 2" in grow("watch", search.id).stdout
    assert search.id in grow("list").stdout


def test_a_search_from_flags_alone(grow: Grow, wanted: Body, tmp_path: Path) -> None:
    config = tmp_path / "config.json"
    config.write_text(json.dumps(TARGET))
    flags = ["--target-config", str(config), "--width-ratio", "2", "--proxy-layers", "1", "--steps", "20"]
    data = ["--data", wanted["data"]["uri"], "--data-option", "format=tokens", "--data-option", "sequence_length=16"]
    more = ["--search", 'learning_rate={"choices": [0.1, 0.2]}', "--sampler", "grid", "--pruner", "none"]
    rest = ["--trials", "2", "--parallel", "2", "--pretrain-option", "batch_size=2", "--label", "team=nlp", "--json"]
    result = grow("tune", *flags, *data, *more, *rest)
    assert result.exit_code == 0, result.output
    found = TuneJob.model_validate_json(result.stdout)
    assert found.plan.proxy.sizes["num_hidden_layers"] == 1
    assert (found.request.pretrain.steps, found.request.pretrain.batch_size) == (20, 2)
    assert (found.request.sampler, found.request.pruner.name, found.plan.trials) == ("grid", "none", 2)
    assert grow("cancel", found.id).exit_code == 0


@pytest.mark.parametrize(
    "flags",
    [
        ["--target", "/a", "--target-config", "config.json"],
        ["--proxy-config", "config.json", "--width-ratio", "2"],
        ["--search", "learning_rate"],
    ],
)
def test_flags_that_contradict(grow: Grow, flags: list[str], tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps(TARGET))
    placed = [flag.replace("config.json", str(tmp_path / "config.json")) for flag in flags]
    assert grow("tune", *placed).exit_code == 2


def test_a_terminal_shows_the_table_live(client: GrowClient, wanted: Body, play: Play) -> None:
    search = client.tune(wanted)
    played = play(search.id)
    played.step()
    played.play(played.live()[0])
    written = io.StringIO()
    console = Console(file=written, width=120, force_terminal=True)
    event = played.store.events(search.id).events[-1]
    with SearchWatch(console, lambda: client.job(search.id)) as watch:
        watch.take(event)
    assert "completed" in written.getvalue()
    with console.capture() as shown:
        console.print(shown_job(played.search()))
        console.print(shown_job(played.store.trials(search.id)[0]))
    for part in ("4 times narrower", "learning_rate", "completed", "held out"):
        assert part in shown.get()
    client.cancel(search.id)


def _submitted(store: JobStore, mark: Path) -> TuneJob:
    for _ in range(600):
        for job in store.list_jobs().jobs:
            if isinstance(job, TuneJob) and job.request.labels.get("test") == str(mark):
                return job
        threading.Event().wait(0.05)
    raise AssertionError("the command has submitted nothing")


def test_help_names_every_field(grow: Grow) -> None:
    text: Any = CliRunner(env={"COLUMNS": "200"}).invoke(app, ["tune", "--help"]).stdout
    for name in ("--target", "--width-ratio", "--search", "--trials", "--parallel", "--sampler", "--pruner", "--wait"):
        assert name in text
