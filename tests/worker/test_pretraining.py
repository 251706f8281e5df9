"""Jobs whose source is a config: trained first, resumed to the same bytes, cancelled, and grown like any other."""

import json
import signal
import time
from pathlib import Path
from typing import Any
from uuid import uuid4

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoModelForMaskedLM

from growth.errors import InvalidConfig, InvalidData
from jobs.schema import EventKind, FitPoint, GrowthRequest, Result, Stage, Status, Untrained
from storage import Uri
from tests.tiny import corpus
from tests.worker.checks import check_output
from tests.worker.conftest import MakeFarm
from tests.worker.direct import Moments, run_attempt
from tests.worker.farm import Farm
from tests.worker.processes import STOPPED_WITHIN_SECONDS, alive, hold_once, signal_all, wait_until
from worker.accepted import ACCEPTED_FILE
from worker.errors import TrainingDiverged

CONFIG = {
    "model_type": "llama",
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "vocab_size": 300,
    "max_position_embeddings": 64,
    "attention_dropout": 0.1,
    "tie_word_embeddings": False,
}
BERT = {
    "model_type": "bert",
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "vocab_size": 300,
    "max_position_embeddings": 64,
}
PRETRAIN = {"steps": 12, "batch_size": 4, "learning_rate": 1e-2, "held_out_every": 4}
ENDLESS = 400_000


class Enough(Exception):
    """The process would have died here."""


class DiesAt(Moments):
    """Ends the attempt at a step of the training, or as a stage begins."""

    def __init__(self, step: int | None = None, stage: Stage | None = None) -> None:
        super().__init__()
        self._step, self._stage = step, stage

    def stage(self, stage: Stage) -> None:
        super().stage(stage)
        if stage is self._stage:
            raise Enough

    def pretrained(self, point: FitPoint) -> None:
        super().pretrained(point)
        if point.step == self._step:
            raise Enough


def untrained(farm: Farm, *, pretrain: dict[str, Any] | None = None, **changes: Any) -> GrowthRequest:
    """Token ids in which each tells the next, so that there is something to learn."""
    data = farm.root.join("data/ids.npy")
    ids = (np.arange(8_000) * 7 % 300).astype(np.int32)
    local = farm.folder / "ids.npy"
    np.save(local, ids)
    farm.storage.put(data, local.read_bytes())
    source = {"config": CONFIG, "pretrain": {**PRETRAIN, **(pretrain or {})}}
    told = {"data": {"uri": str(data), "format": "tokens", "sequence_length": 32}}
    return farm.request(**{"source": source, **told, **changes})


def elsewhere(request: GrowthRequest) -> GrowthRequest:
    return request.model_copy(update={"output": f"{request.output}-whole"})


def weights(farm: Farm, result: Result) -> dict[str, torch.Tensor]:
    folder = farm.download(Uri.parse(result.output))
    return {name: tensor for file in folder.glob("model-*.safetensors") for name, tensor in load_file(file).items()}


def same(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    return one.keys() == other.keys() and all(tensor.equal(other[name]) for name, tensor in one.items())


def state_of(farm: Farm) -> set[str]:
    """Names of what the work itself has saved."""
    return {name for name in farm.names(Uri.parse(farm.settings.state_uri)) if not name.endswith(ACCEPTED_FILE)}


def test_the_next_attempt_goes_on_to_the_same_bytes(make_farm: MakeFarm) -> None:
    farm = make_farm(fit_checkpoint_seconds=1e-9)
    request = untrained(farm)
    with pytest.raises(Enough):
        run_attempt(farm, request, DiesAt(7))
    resumed, whole = Moments(), Moments()
    result = run_attempt(farm, request, resumed, attempt=2)
    assert [point.step for point in resumed.training] == list(range(7, 13))
    expected = run_attempt(farm, elsewhere(request), whole, job_id="job-2")
    assert [point.step for point in whole.training] == list(range(13))
    assert result.pretraining == expected.pretraining
    assert result.pretraining is not None
    assert [point.step for point in result.pretraining.curve] == [0, 4, 8, 12]
    assert result.pretraining.final_held_out_loss < result.pretraining.initial_held_out_loss - 0.5
    assert same(weights(farm, result), weights(farm, expected))


def test_dropout_and_seed_matter(make_farm: MakeFarm) -> None:
    farm = make_farm()
    first = weights(farm, run_attempt(farm, untrained(farm)))
    other_seed = weights(farm, run_attempt(farm, untrained(farm, seed=1), job_id="job-2"))
    quiet = {**CONFIG, "attention_dropout": 0.0}
    no_dropout = untrained(farm, source={"config": quiet, "pretrain": PRETRAIN})
    assert not same(first, other_seed)
    assert not same(first, weights(farm, run_attempt(farm, no_dropout, job_id="job-3")))


def test_a_trained_source_is_not_trained_again(make_farm: MakeFarm) -> None:
    farm = make_farm()
    request = untrained(farm)
    with pytest.raises(Enough):
        run_attempt(farm, request, DiesAt(stage=Stage.EXPANDING))
    again = Moments()
    result = run_attempt(farm, request, again, attempt=2)
    assert Stage.PRETRAINING not in again.stages
    assert not again.training
    assert result.pretraining is not None
    assert same(weights(farm, result), weights(farm, run_attempt(farm, elsewhere(request), job_id="job-2")))


def test_other_data_begin_anew(make_farm: MakeFarm) -> None:
    farm = make_farm(fit_checkpoint_seconds=1e-9)
    request = untrained(farm)
    with pytest.raises(Enough):
        run_attempt(farm, request, DiesAt(7))
    assert request.data is not None
    np.save(farm.folder / "ids.npy", np.arange(8_000) * 11 % 300)
    farm.storage.put(Uri.parse(request.data.uri), (farm.folder / "ids.npy").read_bytes())
    moments = Moments()
    run_attempt(farm, request, moments, attempt=2)
    assert moments.training[0].step == 0


def test_a_fit_behind_the_training_is_resumed_on_the_same_source(make_farm: MakeFarm) -> None:
    farm = make_farm(fit_checkpoint_seconds=1e-9)
    request = untrained(farm, method={"name": "ligo", "steps": 6, "batch_size": 4, "held_out_every": 3})
    dying = Moments()

    def dies() -> None:
        raise Enough

    dying.on_stage[Stage.EXPANDING] = dies
    with pytest.raises(Enough):
        run_attempt(farm, request, dying)
    again = Moments()
    result = run_attempt(farm, request, again, attempt=2)
    assert not again.training
    assert len(again.points) < len(dying.points)
    expected = run_attempt(farm, elsewhere(request), job_id="job-2")
    assert (result.fit, result.pretraining) == (expected.fit, expected.pretraining)
    assert result.fit is not None
    assert same(weights(farm, result), weights(farm, expected))


@pytest.mark.parametrize("name", ["moto", "rclone"])
def test_the_state_lies_in_a_bucket(make_farm: MakeFarm, request: pytest.FixtureRequest, name: str) -> None:
    server = request.getfixturevalue(name)
    farm = make_farm(server, fit_checkpoint_seconds=1e-9, state_uri=f"s3://{server.bucket}/{uuid4().hex}")
    asked = untrained(farm)
    with pytest.raises(Enough):
        run_attempt(farm, asked, DiesAt(7))
    with pytest.raises(Enough):
        run_attempt(farm, asked, DiesAt(stage=Stage.EXPANDING), attempt=2)
    result = run_attempt(farm, asked, attempt=3)
    assert same(weights(farm, result), weights(farm, run_attempt(farm, elsewhere(asked), job_id="job-2")))


def test_an_attempt_that_was_taken_for_dead_changes_nothing(make_farm: MakeFarm) -> None:
    farm = make_farm()
    request = untrained(farm)

    class Stalls(Moments):
        def pretrained(self, point: FitPoint) -> None:
            super().pretrained(point)
            if point.step == PRETRAIN["steps"]:
                with pytest.raises(Enough):
                    run_attempt(farm, request, DiesAt(stage=Stage.EXPANDING), attempt=2)

    result = run_attempt(farm, request, Stalls())
    left = [name for name in state_of(farm) if "/model-" in name]
    assert [name.rpartition("/")[2] for name in left] == ["model-a2-00001-of-00001.safetensors"]
    assert result.pretraining is not None


def test_the_best_method_is_picked_on_the_trained_source(make_farm: MakeFarm) -> None:
    farm = make_farm()
    moments = Moments()
    result = run_attempt(farm, untrained(farm, method="auto", verify=True), moments)
    assert moments.stages[1:3] == [Stage.PRETRAINING, Stage.SELECTING]
    assert result.selection is not None
    assert any(candidate.held_out_loss is not None for candidate in result.selection.candidates)


def test_killed_in_the_middle(make_farm: MakeFarm) -> None:
    farm = make_farm(fit_checkpoint_seconds=0.001)
    request = untrained(farm, pretrain={"steps": 100, "held_out_every": 10})
    job = farm.submit(request)

    def told(attempt: int) -> list[int]:
        found = farm.store.events(job.id, limit=1_000).events
        points = [event.data for event in found if (event.kind, event.attempt) == (EventKind.PRETRAINING, attempt)]
        return [int(str(point["step"])) for point in points]

    def saved() -> list[str]:
        return [name for name in state_of(farm) if "pretraining-" in name]

    with farm.worker() as worker:
        # In the middle: something is saved, and there is more to be trained.
        children = hold_once(worker.children, lambda: any(0 < step < 90 for step in told(1)) and bool(saved()))
        signal_all(children, signal.SIGKILL)
        ended = farm.wait_for(job, Status.SUCCEEDED)
        wait_until(lambda: not state_of(farm))
    assert ended.attempt == 2
    assert ended.result is not None
    assert min(told(2)) > 0
    expected = run_attempt(farm, elsewhere(request))
    assert ended.result.pretraining == expected.pretraining
    assert same(weights(farm, ended.result), weights(farm, expected))
    folder = check_output(farm, ended)
    assert json.loads((folder / "growth.json").read_text())["request"]["source"]["pretrain"]["steps"] == 100
    card = (folder / "README.md").read_text()
    assert "trained first" in card
    assert '"steps": 100' in card
    known = json.loads((folder / "training.json").read_text())["hyperparameters"]
    assert isinstance(request.source, Untrained)
    assert known["learning_rate"] == request.source.pretrain.learning_rate


def test_cancelled_in_the_middle(make_farm: MakeFarm) -> None:
    farm = make_farm(fit_checkpoint_seconds=0.001)
    job = farm.submit(untrained(farm, pretrain={"steps": ENDLESS, "held_out_every": 100}))
    with farm.worker() as worker:
        farm.wait_for_stage(job, Stage.PRETRAINING)
        wait_until(lambda: any(name.endswith(".safetensors") for name in state_of(farm)))
        (child,) = worker.children()
        started = time.monotonic()
        farm.store.request_cancel(job.id)
        farm.wait_for(job, Status.CANCELLED)
        assert time.monotonic() - started < STOPPED_WITHIN_SECONDS
        assert not alive(child)
        wait_until(lambda: not state_of(farm))
    assert not farm.names(Uri.parse(job.request.output))


def test_a_masked_model_with_its_tokenizer(make_farm: MakeFarm, bert: Path) -> None:
    farm = make_farm()
    data = farm.root.join("data/words.txt")
    farm.storage.put(data, "\n".join(corpus(400)).encode())
    source = {"config": BERT, "pretrain": PRETRAIN, "tokenizer": str(farm.upload(bert))}
    told = {"uri": str(data), "sequence_length": 32}
    request = untrained(farm, source=source, data=told, target={"hidden_size": 64}, verify=True)
    result = run_attempt(farm, request)
    folder = farm.download(Uri.parse(result.output))
    assert {"tokenizer.json", "tokenizer_config.json"} <= {path.name for path in folder.iterdir()}
    loaded: Any = AutoModelForMaskedLM.from_pretrained(folder, output_loading_info=True)
    assert not any(loaded[1].values()), loaded[1]
    assert result.verification is not None
    assert result.pretraining is not None
    # Not the same, because the verification's batches are of another size, and so masked otherwise.
    assert result.verification.source_loss == pytest.approx(result.pretraining.final_held_out_loss, abs=0.2)


def test_a_mask_token_is_needed(make_farm: MakeFarm, llama: Path) -> None:
    farm = make_farm()
    source = {"config": BERT, "pretrain": PRETRAIN, "tokenizer": str(farm.upload(llama))}
    with pytest.raises(InvalidData, match="no mask token") as refused:
        run_attempt(farm, untrained(farm, source=source, target={"hidden_size": 64}))
    assert refused.value.field == "/source/tokenizer"


def test_a_mask_token_outside_of_the_vocabulary(make_farm: MakeFarm, bert: Path) -> None:
    farm = make_farm()
    source = {"config": {**BERT, "vocab_size": 4}, "pretrain": PRETRAIN, "tokenizer": str(farm.upload(bert))}
    with pytest.raises(InvalidData, match="vocab_size is 4"):
        run_attempt(farm, untrained(farm, source=source, target={"hidden_size": 64}))


def test_a_folder_without_a_tokenizer(make_farm: MakeFarm) -> None:
    farm = make_farm()
    source = {"config": CONFIG, "pretrain": PRETRAIN, "tokenizer": str(farm.root.join("data"))}
    with pytest.raises(InvalidData, match="tokenizer files") as refused:
        run_attempt(farm, untrained(farm, source=source))
    assert refused.value.field == "/source/tokenizer"


@pytest.mark.parametrize("wrong", [{"hidden_act": "nonsense"}, {"attention_dropout": "much"}])
def test_a_config_that_transformers_refuses(make_farm: MakeFarm, wrong: dict[str, str]) -> None:
    farm = make_farm()
    moments = Moments()
    with pytest.raises(InvalidConfig, match="LlamaForCausalLM") as refused:
        run_attempt(farm, untrained(farm, source={"config": {**CONFIG, **wrong}, "pretrain": PRETRAIN}), moments)
    assert refused.value.field == "/source/config"
    assert moments.stages == [Stage.PLANNING]


def test_a_training_that_diverges(make_farm: MakeFarm) -> None:
    farm = make_farm()
    wild = {"learning_rate": 1, "weight_decay": 10, "gradient_clip": 0, "warmup_fraction": 0, "steps": 300}
    with pytest.raises(TrainingDiverged, match="at step"):
        run_attempt(farm, untrained(farm, pretrain=wild))
