"""Optimizer states that can't be grown: refused by both routes before there is a job, from their headers alone."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from starlette.testclient import TestClient
from transformers import AutoModelForCausalLM

from growth.optimizer_state import save_adamw
from jobs.store import JobStore
from tests.service.conftest import Body

FILE = "optimizer.safetensors"
STEP = "lm_head.weight.step"


@pytest.fixture
def state(llama: Path, tmp_path: Path) -> Path:
    """The folder of a state of the tiny Llama."""
    model = AutoModelForCausalLM.from_pretrained(llama)
    folder = tmp_path / "state"
    folder.mkdir()
    save_adamw(model, torch.optim.AdamW(model.parameters()), folder / FILE)
    return folder


def remove(folder: Path) -> None:
    (folder / FILE).unlink()


def cut(folder: Path) -> None:
    (folder / FILE).write_bytes((folder / FILE).read_bytes()[:-10])


def drop_a_step(folder: Path) -> None:
    save_file({name: tensor for name, tensor in load_file(folder / FILE).items() if name != STEP}, folder / FILE)


def add_momentum(folder: Path) -> None:
    save_file({**load_file(folder / FILE), "lm_head.weight.momentum_buffer": torch.zeros(1)}, folder / FILE)


def pickle(folder: Path) -> None:
    remove(folder)
    (folder / "optimizer.pt").write_bytes(b"")


@pytest.mark.parametrize("name", ["", f"/{FILE}"], ids=["folder", "file"])
def test_a_state_is_planned_with_its_weights(client: TestClient, body: Body, state: Path, name: str) -> None:
    planned = client.post("/plan", json=body | {"source_optimizer": f"file://{state}{name}"})
    assert planned.status_code == 200
    assert any("optimizer's state grows too" in note for note in planned.json()["notes"])


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        pytest.param(remove, "There is nothing at", id="missing"),
        pytest.param(cut, "truncated", id="truncated"),
        pytest.param(drop_a_step, f"has no '{STEP}'", id="incomplete"),
        pytest.param(add_momentum, "other optimizers", id="other-optimizer"),
        pytest.param(pickle, "optimizer.pt is a pickle", id="pickle"),
    ],
)
def test_a_state_that_can_not_be_grown(
    client: TestClient, store: JobStore, body: Body, state: Path, spoil: Callable[[Path], None], said: str
) -> None:
    spoil(state)
    for path in ("/plan", "/grow"):
        response = client.post(path, json=body | {"source_optimizer": f"file://{state}"})
        assert response.status_code == 422
        problem = response.json()
        assert (problem["code"], problem["field"]) == ("invalid_optimizer_state", "/source_optimizer")
        assert said in problem["detail"]
    assert store.list_jobs().jobs == []


def test_an_output_inside_the_state(client: TestClient, body: Body, state: Path) -> None:
    response = client.post(
        "/plan", json=body | {"source_optimizer": f"file://{state}", "output": f"file://{state}/grown"}
    )
    assert response.json()["code"] == "output_overlaps"
