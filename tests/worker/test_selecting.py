"""`auto` on data: the worker measures what the rule leaves open, writes the best, and stays with it."""

import json
from pathlib import Path
from typing import Any

import pytest

from jobs.schema import Candidate, EventKind, GrowthRequest, Result, Selection, Stage, Status
from storage import Uri
from tests.servers import S3Server
from tests.storage.proxy import Proxy
from tests.tiny import corpus, tiny_llama
from tests.worker.checks import check_output, logits
from tests.worker.conftest import MakeFarm
from tests.worker.direct import Moments, run_attempt
from tests.worker.farm import Farm
from tests.worker.gate import Gate
from worker.accepted import ACCEPTED_FILE
from worker.output import LINEAGE_FILE

OPEN = ["pad + stack", "pad + interpolate"]
STAGES = ["planning", "selecting", "expanding", "verifying", "committing"]


class Enough(Exception):
    """The process would have died here."""


class DiesAfterOne(Moments):
    """Ends the attempt once a candidate was measured."""

    def measured(self, candidate: Candidate) -> None:
        super().measured(candidate)
        raise Enough


def auto_request(farm: Farm, source: Path, **changes: Any) -> GrowthRequest:
    data = farm.root.join("data/words.txt")
    farm.storage.put(data, "\n".join(corpus(200)).encode())
    told = {"uri": str(data), "sequence_length": 32}
    return farm.request(farm.upload(source), **{"method": "auto", "data": told, "verify": True, **changes})


def losses_of(result: Result) -> dict[str, float | None]:
    return {c.label: c.held_out_loss for c in selection_of(result).candidates if c.open}


def selection_of(result: Result) -> Selection:
    assert result.selection is not None
    return result.selection


def target_loss(result: Result) -> float:
    assert result.verification is not None
    assert result.verification.target_loss is not None
    return result.verification.target_loss


def state_of(farm: Farm) -> list[Uri]:
    """What the work itself has saved."""
    found = [info.uri for info in farm.storage.list(Uri.parse(farm.settings.state_uri))]
    return [uri for uri in found if uri.name != ACCEPTED_FILE]


def test_the_best_of_what_is_open_is_written(make_farm: MakeFarm, llama: Path) -> None:
    farm = make_farm()
    job = farm.submit(auto_request(farm, llama))
    assert job.plan.selection is not None
    assert [c.label for c in job.plan.selection.candidates if c.open] == OPEN
    with farm.worker():
        ended = farm.wait_for(job, Status.SUCCEEDED)
        farm.wait_for_clearing()
    assert ended.result is not None
    assert list(ended.result.stage_seconds) == STAGES
    losses, selection = losses_of(ended.result), selection_of(ended.result)
    assert list(losses) == OPEN
    assert losses[selection.label] == min(loss for loss in losses.values() if loss is not None)
    assert target_loss(ended.result) == pytest.approx(losses[selection.label], abs=1e-4)

    told = [event.data for event in farm.store.events(job.id).events if event.kind is EventKind.CANDIDATE]
    assert {str(candidate["label"]): candidate["held_out_loss"] for candidate in told} == losses
    folder = check_output(farm, ended)
    lineage = json.loads((folder / LINEAGE_FILE).read_text())
    assert lineage["plan"]["method"] == selection.method
    assert Selection.model_validate(lineage["plan"]["selection"]) == selection
    assert f"Held-out losses right after growth: {OPEN[0]} {losses[OPEN[0]]:.4f}" in (folder / "README.md").read_text()
    assert logits(folder).isfinite().all()
    assert not state_of(farm)


@pytest.mark.parametrize("family", ["llama", "bert"])
def test_each_loss_is_that_of_the_checkpoint(make_farm: MakeFarm, request: pytest.FixtureRequest, family: str) -> None:
    farm = make_farm()
    source: Path = request.getfixturevalue(family)
    wanted = auto_request(farm, source, target={"hidden_size": 64, "num_hidden_layers": 3})
    moments = Moments()
    selection = selection_of(run_attempt(farm, wanted, moments))
    assert [c.label for c in moments.candidates] == [c.label for c in selection.candidates if c.open]
    assert len(moments.candidates) == 2
    written = {}
    for number, candidate in enumerate(moments.candidates):
        named = wanted.model_dump() | {"method": candidate.method, "output": f"{wanted.output}-{number}"}
        written[candidate.label] = target_loss(run_attempt(farm, GrowthRequest.model_validate(named)))
        assert candidate.held_out_loss == pytest.approx(written[candidate.label], abs=1e-4)
    assert min(written, key=written.__getitem__) == selection.label


def test_the_next_attempt_measures_only_what_is_left_and_picks_the_same(make_farm: MakeFarm, llama: Path) -> None:
    farm = make_farm()
    wanted = auto_request(farm, llama)
    with pytest.raises(Enough):
        run_attempt(farm, wanted, DiesAfterOne())
    (kept,) = state_of(farm)
    assert list(json.loads(farm.storage.read(kept))) == OPEN[:1]
    resumed = run_attempt(farm, wanted, attempt=2)
    other = wanted.model_copy(update={"output": f"{wanted.output}-whole"})
    whole = run_attempt(farm, other, job_id="job-2")
    assert resumed.selection == whole.selection
    assert logits(farm.download(Uri.parse(resumed.output))).equal(logits(farm.download(Uri.parse(whole.output))))


def test_killed_after_it_has_picked(make_farm: MakeFarm, proxied: S3Server, proxy: Proxy, llama: Path) -> None:
    """SIGKILL to all processes at once, as the first shard is on its way."""
    farm = make_farm(proxied)
    gate = Gate(proxy, "PUT", "-a1-00001-of-")
    job = farm.submit(auto_request(farm, llama))
    with farm.worker() as worker:
        gate.wait()
        worker.kill()
    (kept,) = state_of(farm)
    losses = json.loads(farm.storage.read(kept))
    with farm.worker():
        ended = farm.wait_for(job, Status.SUCCEEDED)
    gate.open()
    assert ended.attempt == 2
    assert ended.result is not None
    assert losses_of(ended.result) == losses
    assert selection_of(ended.result).label == min(losses, key=losses.__getitem__)
    told = [e for e in farm.store.events(job.id).events if e.kind is EventKind.CANDIDATE]
    assert [(e.attempt, e.data["label"]) for e in told] == [(a, label) for a in (1, 2) for label in OPEN]


def test_what_an_attempt_has_measured_holds_on_every_machine(make_farm: MakeFarm, llama: Path) -> None:
    """Another machine rounds otherwise; were it to measure again, two attempts could write two models."""
    farm = make_farm()
    wanted = auto_request(farm, llama)
    first = run_attempt(farm, wanted)
    (kept,) = state_of(farm)
    worst = max(losses_of(first), key=lambda label: losses_of(first)[label] or 0.0)
    farm.storage.put(kept, json.dumps({**losses_of(first), worst: 0.5}).encode())
    again = run_attempt(farm, wanted.model_copy(update={"output": f"{wanted.output}-again"}), attempt=2)
    assert selection_of(first).label != worst == selection_of(again).label
    assert losses_of(again)[worst] == 0.5


def test_other_data_are_measured_anew(make_farm: MakeFarm, llama: Path) -> None:
    farm = make_farm()
    wanted = auto_request(farm, llama)
    with pytest.raises(Enough):
        run_attempt(farm, wanted, DiesAfterOne())
    farm.storage.put(farm.root.join("data/words.txt"), "\n".join(corpus(200, seed=1)).encode())
    run_attempt(farm, wanted, attempt=2)
    assert len(state_of(farm)) == 2


def test_a_single_candidate_is_measured_too(make_farm: MakeFarm, llama: Path) -> None:
    farm = make_farm()
    wanted = auto_request(farm, llama, method={"name": "auto", "function_preserving": True})
    result = run_attempt(farm, wanted)
    assert result.verification is not None
    assert losses_of(result) == {"lemon + identity": pytest.approx(result.verification.source_loss, abs=1e-3)}


@pytest.mark.parametrize("headed", [True, False])
def test_without_a_loss_the_rule_decides(make_farm: MakeFarm, tmp_path: Path, headed: bool) -> None:
    farm = make_farm()
    source = tiny_llama(tmp_path / "source", headed=headed)
    wanted = auto_request(farm, source, **({"data": None} if headed else {}))
    moments = Moments()
    result = run_attempt(farm, wanted, moments)
    assert Stage.SELECTING not in moments.stages
    assert selection_of(result).label == OPEN[0]
    assert losses_of(result) == dict.fromkeys(OPEN)
