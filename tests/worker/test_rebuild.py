"""Records made again from outputs, after Redis was lost with all its data."""

from importlib.metadata import EntryPoint
from pathlib import Path

import pytest
import redis as redis_client
from typer import Typer
from typer.testing import CliRunner

from jobs.errors import JobNotFound, OutputReserved
from jobs.listing import Filter
from jobs.schema import EventKind, Job, Status
from jobs.store import JobStore
from storage import Uri
from tests.servers import S3Server, valkey_server
from tests.storage.proxy import Proxy
from tests.worker.checks import check_output
from tests.worker.conftest import MakeFarm
from tests.worker.direct import run_attempt
from tests.worker.farm import farm as farm_over
from tests.worker.gate import Gate
from tests.worker.processes import wait_until
from worker.accepted import keep
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
        farm.wait_for_clearing()
    with valkey_server(tmp_path / "another") as empty:
        settings = farm.settings.model_copy(update={"redis_url": empty.url})
        store = JobStore(settings)
        assert rebuild_records([farm.root], farm.storage, store, settings.state_uri) == Rebuilt(restored=1)
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
        assert rebuild_records([farm.root], farm.storage, store, settings.state_uri) == Rebuilt(known=1)
        store.close()


def _same_result(found: Job, ended: Job) -> bool:
    """But for the time of the commit, which the manifest can't hold."""
    assert found.result is not None
    assert ended.result is not None
    return found.result.model_copy(update={"stage_seconds": {}}) == ended.result.model_copy(
        update={"stage_seconds": {}}
    )


def test_a_job_that_had_begun_goes_on(
    make_farm: MakeFarm, proxied: S3Server, proxy: Proxy, llama: Path, tmp_path: Path
) -> None:
    """Its worker is killed and Redis is lost; nothing but the stores is left."""
    farm = make_farm(proxied)
    gate = Gate(proxy, "PUT", "-a1-00002-of-")
    changes: dict[str, object] = {"max_shard_bytes": 1_000_000, "labels": {"team": "nlp"}, "priority": "high"}
    target = {"hidden_size": 128, "num_hidden_layers": 6}
    job = farm.submit(farm.request(farm.upload(llama), target=target, **changes))
    with farm.worker() as worker:
        gate.wait()
        worker.kill()
    gate.open()
    with valkey_server(tmp_path / "another") as empty, farm_over(empty, farm.root, tmp_path, proxied) as after:
        places = [after.root], after.storage, after.store, after.settings.state_uri
        assert rebuild_records(*places) == Rebuilt(begun_again=1)
        found = after.store.get(job.id)
        assert isinstance(found, Job)
        assert (found.status, found.attempt, found.queue_position) == (Status.QUEUED, 1, 0)
        assert (found.owner, found.request, found.plan) == (job.owner, job.request, job.plan)
        assert found.created_at == job.created_at
        where = Filter("ada", labels=(("team", "nlp"),))
        assert [listed.id for listed in after.store.list_jobs(where).jobs] == [job.id]
        with pytest.raises(OutputReserved):
            after.store.create(job.request, job.plan, "ben")
        with after.worker():
            ended = after.wait_for(job, Status.SUCCEEDED)
            wait_until(lambda: not list(after.storage.list(Uri.parse(after.settings.state_uri))))
        assert ended.attempt == 2
        assert not list(check_output(after, ended).glob("*-a1-*"))
        assert rebuild_records(*places) == Rebuilt(known=1)


def test_a_job_whose_output_has_become_anothers(make_farm: MakeFarm, llama: Path) -> None:
    farm = make_farm()
    job = farm.submit(farm.request(farm.upload(llama)))
    claimed = farm.store.claim(job.id, "worker").job
    assert isinstance(claimed, Job)
    keep(claimed, farm.storage, farm.settings.state_uri)
    places = [farm.root], farm.storage, farm.store, farm.settings.state_uri
    assert rebuild_records(*places) == Rebuilt(known=1)
    with redis_client.Redis.from_url(farm.settings.redis_url) as client:
        client.flushall()
    inside = job.request.model_copy(update={"output": f"{job.request.output}/inside"})
    farm.store.create(inside, job.plan, "ada")
    assert rebuild_records(*places) == Rebuilt(known=1)
    with pytest.raises(JobNotFound):
        farm.store.get(job.id)


def test_what_is_no_job_is_passed_over(make_farm: MakeFarm) -> None:
    farm = make_farm()
    state = Uri.parse(farm.settings.state_uri)
    for number, content in enumerate([b"", b"{}", b"[" * 100_000, b'{"id": "job-1", "status": "running"}']):
        farm.storage.put(state.join(f"job-{number}/accepted.json"), content)
    assert rebuild_records([farm.root], farm.storage, farm.store, farm.settings.state_uri) == Rebuilt()


def test_what_is_no_jobs_output_is_counted_alone(make_farm: MakeFarm, llama: Path) -> None:
    farm = make_farm()
    farm.upload(llama, "somewhere/source")
    foreign = farm.root.join("foreign")
    farm.storage.put(manifest_uri(foreign), b'{"metadata": {}, "weight_map": {}}')
    without_service = run_attempt(farm, farm.request(farm.root.join("somewhere/source")))
    lost = run_attempt(farm, farm.request(farm.root.join("somewhere/source")))
    farm.storage.delete(Uri.parse(lost.output).join("growth.json"))
    assert farm.storage.exists(manifest_uri(Uri.parse(without_service.output)))
    assert rebuild_records([farm.root], farm.storage, farm.store, farm.settings.state_uri) == Rebuilt(foreign=3)
    assert not farm.store.list_jobs().jobs


def test_the_command(make_farm: MakeFarm, monkeypatch: pytest.MonkeyPatch) -> None:
    farm = make_farm()
    for name, value in farm.environment.items():
        monkeypatch.setenv(name, value)
    app = Typer()
    app.command()(rebuild)
    done = CliRunner().invoke(app, [str(farm.root), "--json"])
    assert (done.exit_code, done.stdout) == (0, '{"restored": 0, "begun_again": 0, "known": 0, "foreign": 0}\n')
    refused = CliRunner().invoke(app, ["models/grown"])
    assert refused.exit_code == 2
    assert "names no storage" in refused.stderr


def test_it_is_a_command_of_grow() -> None:
    told = (Path(__file__).parents[2] / "pyproject.toml").read_text()
    assert 'rebuild = "worker.rebuild:rebuild"' in told
    assert EntryPoint("rebuild", "worker.rebuild:rebuild", "grow.commands").load() is rebuild
