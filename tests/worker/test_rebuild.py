"""Records made again from outputs, after Redis was lost with all its data."""

from importlib.metadata import EntryPoint
from pathlib import Path

import pytest
from typer import Typer
from typer.testing import CliRunner

from jobs.schema import EventKind, Job, Status
from jobs.store import JobStore
from storage import Uri
from tests.servers import valkey_server
from tests.worker.conftest import MakeFarm
from tests.worker.direct import run_attempt
from worker.manifest import manifest_uri
from worker.rebuild import Rebuilt, rebuild, rebuild_records


@pytest.mark.parametrize("kind", ["file", "moto"])
def test_a_lost_record_is_as_it_was(
    make_farm: MakeFarm, llama: Path, tmp_path: Path, kind: str, request: pytest.FixtureRequest
) -> None:
    farm = make_farm(None if kind == "file" else request.getfixturevalue(kind))
    labels = {"team": "nlp", "run": "7"}
    wanted = farm.request(farm.upload(llama), labels=labels, max_shard_bytes=1_000_000)
    with farm.worker():
        ended = farm.wait_for(farm.submit(wanted), Status.SUCCEEDED)
    with valkey_server(tmp_path / "another") as empty:
        settings = farm.settings.model_copy(update={"redis_url": empty.url})
        store = JobStore(settings)
        assert rebuild_records([farm.root], farm.storage, store) == Rebuilt(restored=1)
        found = store.get(ended.id)
        changed = {"finished_at": found.finished_at, "version": 1, "result": found.result}
        assert found == ended.model_copy(update=changed)
        assert _same_result(found, ended)
        assert found.finished_at is not None
        assert ended.finished_at is not None
        assert abs((found.finished_at - ended.finished_at).total_seconds()) < 30
        assert [job.id for job in store.list_jobs().jobs] == [ended.id]
        (event,) = store.events(ended.id).events
        assert (event.kind, event.data["reason"]) == (EventKind.STATUS, "rebuilt")
        assert rebuild_records([farm.root], farm.storage, store) == Rebuilt(known=1)
        store.close()


def _same_result(found: Job, ended: Job) -> bool:
    """But for the time of the commit, which the manifest can't hold."""
    assert found.result is not None
    assert ended.result is not None
    return found.result.model_copy(update={"stage_seconds": {}}) == ended.result.model_copy(
        update={"stage_seconds": {}}
    )


def test_what_is_no_jobs_output_is_counted_alone(make_farm: MakeFarm, llama: Path) -> None:
    farm = make_farm()
    farm.upload(llama, "somewhere/source")
    foreign = farm.root.join("foreign")
    farm.storage.put(manifest_uri(foreign), b'{"metadata": {}, "weight_map": {}}')
    without_service = run_attempt(farm, farm.request(farm.root.join("somewhere/source")))
    lost = run_attempt(farm, farm.request(farm.root.join("somewhere/source")))
    farm.storage.delete(Uri.parse(lost.output).join("growth.json"))
    assert farm.storage.exists(manifest_uri(Uri.parse(without_service.output)))
    assert rebuild_records([farm.root], farm.storage, farm.store) == Rebuilt(foreign=3)
    assert not farm.store.list_jobs().jobs


def test_the_command(make_farm: MakeFarm, monkeypatch: pytest.MonkeyPatch) -> None:
    farm = make_farm()
    for name, value in farm.environment.items():
        monkeypatch.setenv(name, value)
    app = Typer()
    app.command()(rebuild)
    done = CliRunner().invoke(app, [str(farm.root), "--json"])
    assert (done.exit_code, done.stdout) == (0, '{"restored": 0, "known": 0, "foreign": 0}\n')
    refused = CliRunner().invoke(app, ["models/grown"])
    assert refused.exit_code == 2
    assert "names no storage" in refused.stderr


def test_it_is_a_command_of_grow() -> None:
    told = (Path(__file__).parents[2] / "pyproject.toml").read_text()
    assert 'rebuild = "worker.rebuild:rebuild"' in told
    assert EntryPoint("rebuild", "worker.rebuild:rebuild", "grow.commands").load() is rebuild
