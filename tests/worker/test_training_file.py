"""`training.json` of a grown model: complete, committed with the rest, and of use without code of ours."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoModelForImageClassification

from growth.config import ModelConfig
from growth.mutransfer import transfer
from growth.parameter_groups import param_groups
from growth.transfer_plan import TransferPlan
from jobs.schema import GrowthRequest
from storage import Uri
from tests.tiny import tiny
from tests.worker.conftest import MakeFarm
from tests.worker.direct import run_attempt
from tests.worker.farm import Farm
from worker.manifest import commit_of

TRAINING = {"learning_rate": 3e-4, "weight_decay": 0.1, "betas": [0.9, 0.95], "epsilon": 1e-9}
WIDER = {"hidden_size": 64, "num_hidden_layers": 4}


def grown(farm: Farm, source: Path, **fields: Any) -> Path:
    method = fields.pop("method", {"name": "stack", "width": "lemon"})
    result = run_attempt(farm, farm.request(farm.upload(source), method=method, **{"target": WIDER, **fields}))
    return farm.download(Uri.parse(result.output))


def by_the_card(folder: Path, model: Any) -> torch.optim.Optimizer:
    """The optimizer that the README's own lines make."""
    (lines,) = [
        block
        for block in re.findall(r"```python\n(.*?)```", (folder / "README.md").read_text(), re.DOTALL)
        if "training.json" in block
    ]
    assert len(lines.strip().splitlines()) <= 12
    names: dict[str, Any] = {"model": model}
    exec(re.sub(r"path/to/[^/]+", str(folder), lines), names)
    optimizer: torch.optim.Optimizer = names["optimizer"]
    return optimizer


def settings(model: Any, groups: list[dict[str, Any]]) -> dict[str, tuple[float, ...]]:
    """Rate, decay and epsilon of each parameter, by name."""
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    return {
        names[id(parameter)]: tuple(round(float(group.get(key, 0.0)), 15) for key in ("lr", "weight_decay", "eps"))
        for group in groups
        for parameter in group["params"]
    }


def test_lines_of_the_card_make_the_groups(make_farm: MakeFarm, llama: Path) -> None:
    folder = grown(make_farm(), llama, training=TRAINING)
    model = AutoModelForCausalLM.from_pretrained(folder)
    optimizer = by_the_card(folder, model)
    assert isinstance(optimizer, torch.optim.AdamW)
    assert optimizer.defaults["betas"] == (0.9, 0.95)
    source, target = (ModelConfig.parse((path / "config.json").read_bytes()) for path in (llama, folder))
    expected = param_groups(model, transfer(source, target), lr=3e-4, weight_decay=0.1, eps=1e-9)
    assert settings(model, optimizer.param_groups) == settings(model, expected)
    assert {name for name, _ in model.named_parameters()} == settings(model, expected).keys()
    model(input_ids=torch.arange(3, 19).reshape(1, -1), labels=torch.arange(3, 19).reshape(1, -1)).loss.backward()
    optimizer.step()


def test_the_file_is_part_of_the_commit(make_farm: MakeFarm, llama: Path) -> None:
    farm = make_farm()
    result = run_attempt(farm, farm.request(farm.upload(llama), training=TRAINING))
    written = farm.objects(Uri.parse(result.output))
    commit = commit_of(written["model.safetensors.index.json"])
    assert commit is not None
    assert "training.json" in {stored.name for stored in commit.objects}
    told = json.loads(written["training.json"])
    assert told["hyperparameters"] == TRAINING
    assert told["optimizer"] == "adamw"
    assert json.loads(written["growth.json"])["request"]["training"]["learning_rate"] == 3e-4


def test_modules_that_have_other_names_than_checkpoints(make_farm: MakeFarm, tmp_path: Path) -> None:
    folder = grown(make_farm(), tiny(tmp_path / "vit", "vit"), method={"name": "pad"})
    model = AutoModelForImageClassification.from_pretrained(folder)
    # Whoever trained the source puts in what they know.
    assert "Put the source's own values" in (folder / "README.md").read_text()
    assert settings(model, by_the_card(folder, model).param_groups).keys() == dict(model.named_parameters()).keys()


def test_sgd_has_lines_of_its_own(make_farm: MakeFarm, gpt2: Path) -> None:
    folder = grown(make_farm(), gpt2, training={"optimizer": "sgd", "learning_rate": 0.5})
    model = AutoModelForCausalLM.from_pretrained(folder)
    optimizer = by_the_card(folder, model)
    assert isinstance(optimizer, torch.optim.SGD)
    assert settings(model, optimizer.param_groups)["transformer.wte.weight"] == (1.0, 0.0, 0.0)


def test_sizes_without_an_answer_are_told(make_farm: MakeFarm, gpt2: Path) -> None:
    """GPT-2's queries, keys and values are one tensor, which can't have the queries' factor."""
    wide_heads = {"hidden_size": 64, "num_attention_heads": 4}
    folder = grown(make_farm(), gpt2, method={"name": "pad"}, target=wide_heads)
    told = json.loads((folder / "training.json").read_text())
    assert told["groups"] == []
    assert "Keep head_dim" in told["refused"]
    assert told["refused"] in (folder / "README.md").read_text()
    with pytest.raises(ValueError, match="scales its queries alone"):
        TransferPlan.from_json(told)


def test_a_training_that_can_not_be_is_refused() -> None:
    body = {"source": "file:///a", "output": "file:///b", "target": {}, "method": "pad"}
    for training in ({}, {"learning_rate": 0}, {"learning_rate": 1, "betas": [0.9]}, {"learning_rate": 1, "lr": 1}):
        with pytest.raises(ValueError, match="training"):
            GrowthRequest.model_validate({**body, "training": training})
