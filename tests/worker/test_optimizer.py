"""A job with an optimizer's state: grown beside the weights, committed with them, gone with a killed attempt."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM

from growth.errors import InvalidOptimizerState
from growth.optimizer_state import load_adamw, save_adamw
from jobs.schema import Status
from storage import Uri
from tests.servers import S3Server
from tests.storage.proxy import Proxy
from tests.worker.checks import check_output, logits
from tests.worker.conftest import MakeFarm
from tests.worker.direct import Moments, run_attempt
from tests.worker.farm import Farm
from tests.worker.gate import Gate

FILE = "optimizer.safetensors"
EMBEDDING = "model.embed_tokens.weight"
STEPS = 3


@pytest.fixture(scope="session")
def state(llama: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the state of some steps of training the tiny Llama."""
    model: Any = AutoModelForCausalLM.from_pretrained(llama)
    optimizer = torch.optim.AdamW(model.parameters())
    ids = torch.arange(3, 35).reshape(1, -1)
    for _ in range(STEPS):
        optimizer.zero_grad()
        model(input_ids=ids, labels=ids).loss.backward()
        optimizer.step()
    folder = tmp_path_factory.mktemp("state")
    save_adamw(model, optimizer, folder / FILE)
    return folder


def resumed(folder: Path) -> torch.optim.AdamW:
    model: Any = AutoModelForCausalLM.from_pretrained(folder)
    optimizer = torch.optim.AdamW(model.parameters())
    load_adamw(folder, model, optimizer)
    model(input_ids=torch.arange(3, 35).reshape(1, -1)).logits.sum().backward()
    optimizer.step()
    return optimizer


def test_a_queued_job_grows_the_state_too(any_farm: Farm, llama: Path, state: Path) -> None:
    source, optimizer = any_farm.upload(llama), any_farm.upload(state, "state")
    job = any_farm.submit(
        any_farm.request(source, source_optimizer=str(optimizer), target={"hidden_size": 64}, verify=True)
    )
    with any_farm.worker():
        ended = any_farm.wait_for(job, Status.SUCCEEDED)
    folder = check_output(any_farm, ended)
    torch.testing.assert_close(logits(folder), logits(llama), rtol=0, atol=5e-5)
    (grown,) = (load_file(file) for file in folder.glob("optimizer-*.safetensors"))
    moment = load_file(state / FILE)[f"{EMBEDDING}.exp_avg"]
    torch.testing.assert_close(grown[f"{EMBEDDING}.exp_avg"], moment.repeat(1, 2) / 2)
    assert {float(kept["step"]) for kept in resumed(folder).state.values()} == {STEPS + 1}


def test_a_grown_state_is_the_source_of_the_next(make_farm: MakeFarm, llama: Path, state: Path) -> None:
    """In several shards, by the index in the output; progress runs over weights and state."""
    farm, moments = make_farm(), Moments()
    wide = {"target": {"hidden_size": 128}, "max_shard_bytes": 1_000_000}
    file = farm.upload(state, "state").join(FILE)
    first = run_attempt(farm, farm.request(farm.upload(llama), source_optimizer=str(file), **wide), moments)
    assert moments.fractions == sorted(moments.fractions)
    assert moments.fractions[-1] == 1.0
    names = farm.names(Uri.parse(first.output))
    assert len([name for name in names if name.startswith("optimizer-") and name.endswith(".safetensors")]) > 1
    again = farm.request(Uri.parse(first.output), source_optimizer=first.output, target={"num_hidden_layers": 3})
    second = run_attempt(
        farm, again.model_copy(update={"method": again.method.model_copy(update={"name": "identity"})})
    )
    kept = {float(kept["step"]) for kept in resumed(farm.download(Uri.parse(second.output))).state.values()}
    assert kept == {1, STEPS + 1}


def test_lineage_card_and_manifest_tell_of_the_state(make_farm: MakeFarm, llama: Path, state: Path) -> None:
    farm = make_farm()
    optimizer = str(farm.upload(state, "state"))
    result = run_attempt(farm, farm.request(farm.upload(llama), source_optimizer=optimizer, method="lemon"))
    written = farm.objects(Uri.parse(result.output))
    told = json.loads(written["growth.json"])
    assert told["request"]["source_optimizer"] == optimizer
    assert any("optimizer's state grows too" in note for note in told["plan"]["notes"])
    assert "moments are an approximation: copies under a norm" in written["README.md"].decode()
    assert result.objects == len(written)


def test_what_is_wrong_with_a_state_is_told_before_anything_is_written(
    make_farm: MakeFarm, llama: Path, gpt2: Path, state: Path
) -> None:
    farm = make_farm()
    request = farm.request(farm.upload(gpt2), source_optimizer=str(farm.upload(state, "state")))
    with pytest.raises(InvalidOptimizerState, match="the source's weights do not have"):
        run_attempt(farm, request)
    assert not farm.names(Uri.parse(request.output))


def test_killed_in_the_middle_of_the_state(
    make_farm: MakeFarm, proxied: S3Server, proxy: Proxy, llama: Path, state: Path
) -> None:
    """No index tells of a checkpoint meanwhile, and nothing of the dead attempt stays."""
    farm = make_farm(proxied)
    source, optimizer = farm.upload(llama), farm.upload(state, "state")
    gate = Gate(proxy, "PUT", "optimizer-")
    job = farm.submit(farm.request(source, source_optimizer=str(optimizer)))
    with farm.worker() as worker:
        gate.wait()
        worker.kill()
    left = farm.names(Uri.parse(job.request.output))
    assert left
    assert not any(name.endswith("index.json") for name in left)
    gate.open()
    with farm.worker():
        ended = farm.wait_for(job, Status.SUCCEEDED)
    assert ended.attempt == 2
    folder = check_output(farm, ended)
    assert not list(folder.glob("*-a1*"))
    assert resumed(folder).state
