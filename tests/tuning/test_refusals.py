"""What can't be searched is refused at submission, in one sentence that points at the field; nothing is created."""

import json
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from jobs.search_space import DEFAULT_SPACE
from tests.tuning.conftest import Submit
from tests.tuning.samples import TARGET, Body

GPT2 = {"model_type": "gpt2", "n_embd": 32, "n_layer": 2, "n_head": 4, "vocab_size": 100, "n_positions": 64}
RATE = "learning_rate"


@pytest.mark.parametrize(
    ("changes", "code", "field", "part"),
    [
        ({"proxy": {"width_ratio": 3}}, "impossible_proxy", "/proxy/width_ratio", "works for 1, 2, 4"),
        ({"proxy": {"width_ratio": 64}}, "impossible_proxy", "/proxy/width_ratio", "64 times as wide"),
        ({"proxy": {"width_ratio": 2, "num_hidden_layers": 3}}, "impossible_proxy", "/proxy/num_hidden_layers", "2"),
        ({"proxy": {"config": GPT2}}, "impossible_proxy", "/proxy/config/model_type", "target's family"),
        ({"proxy": {"config": {**TARGET, "vocab_size": 50}}}, "impossible_proxy", "/proxy/config", "vocab_size 50"),
        ({"proxy": {"config": {**TARGET, "num_hidden_layers": 9}}}, "impossible_proxy", "/proxy/config", "larger"),
        ({"proxy": {"width": 2}}, "invalid_request", "/proxy/width_ratio", "missing"),
        ({"target": {"model_type": "t5"}}, "invalid_config", "/target", ""),
        ({"target": {"model_type": "unheard"}}, "unknown_model_type", "/target", "unheard"),
        ({"target": "file:///nowhere"}, "source_not_found", "/target", "no config.json"),
        ({"search_space": {}}, "invalid_request", "/search_space", "at least 1"),
        ({"search_space": {"momentum": {"choices": [1]}}}, "invalid_request", "/search_space/momentum", RATE),
        ({"search_space": {RATE: {"choices": []}}}, "invalid_request", f"/search_space/{RATE}/choices", "at least 1"),
        ({"search_space": {RATE: {"choices": [1, 1]}}}, "invalid_request", f"/search_space/{RATE}", "twice"),
        ({"search_space": {RATE: {"low": 0.2, "high": 0.1}}}, "invalid_request", f"/search_space/{RATE}", "empty"),
        ({"search_space": {RATE: {"powers_of_two": [-3, -9]}}}, "invalid_request", f"/search_space/{RATE}", "empty"),
        ({"search_space": {RATE: {"low": 0, "high": 1, "log": True}}}, "invalid_request", f"/search_space/{RATE}", "0"),
        ({"search_space": {RATE: {"powers_of_two": [-3, 3]}}}, "invalid_request", "", "learning_rate reaches 8"),
        ({"search_space": {"batch_size": {"choices": [1.5]}}}, "invalid_request", "", "whole number"),
        ({"search_space": {"initializer_range": {"choices": [0]}}}, "invalid_request", "", "above 0"),
        ({"pretrain": {"steps": 1000, "held_out_every": 1}}, "invalid_request", "", "more than 64 times"),
        ({"trials": 0}, "invalid_request", "/trials", ""),
        ({"sampler": "annealing"}, "invalid_request", "/sampler", "grid"),
        ({"pruner": "hard"}, "invalid_request", "/pruner/name", "median"),
        ({"steps": 5}, "invalid_request", "/steps", "no field"),
        ({"data": {"uri": "file:///nowhere", "format": "tokens"}}, "invalid_data", "/data/uri", "upload"),
        ({"tokenizer": "file:///nowhere"}, "invalid_data", "/tokenizer", "tokenizer's folder"),
    ],
)
def test_refusals(client: TestClient, body: Body, changes: Body, code: str, field: str, part: str) -> None:
    answer = client.post("/tune", json=body | changes)
    problem = answer.json()
    assert (answer.status_code, problem["code"], problem["field"]) == (422, code, field), problem
    assert part in problem["detail"]
    assert problem["detail"].count(". ") == 0
    assert client.get("/jobs").json()["jobs"] == []


def test_refusals_name_what_works(client: TestClient, body: Body) -> None:
    problem = client.post("/tune", json=body | {"proxy": {"width_ratio": 3}}).json()
    assert problem["nearest"] == {"width_ratio": 2}
    unknown = client.post("/tune", json=body | {"steps": 5}).json()
    assert "search_space" in unknown["hint"]


def test_an_endless_grid_is_refused(client: TestClient, body: Body) -> None:
    space = {RATE: {"low": 0.001, "high": 0.1}}
    problem = client.post("/tune", json=body | {"sampler": "grid", "search_space": space}).json()
    assert (problem["code"], problem["field"]) == ("invalid_search_space", f"/search_space/{RATE}")
    assert "step" in problem["hint"]


def test_text_without_a_tokenizer_is_refused(client: TestClient, body: Body) -> None:
    problem = client.post("/tune", json=body | {"data": {**body["data"], "format": "text"}}).json()
    assert (problem["code"], problem["field"]) == ("invalid_data", "/data/format")


def test_what_is_left_out_is_filled_in(submit: Submit, body: Body) -> None:
    body.pop("search_space")
    job = submit(pretrain={"steps": 500})
    assert job.plan.search_space == DEFAULT_SPACE
    assert job.request.pretrain.held_out_every == 50
    assert job.plan.proxy.sizes["hidden_size"] == 16
    assert job.plan.target_config["hidden_size"] == 64


def test_a_target_may_be_a_folder(submit: Submit, tmp_path: Path) -> None:
    folder = tmp_path / "target"
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps(TARGET))
    assert submit(target=f"file://{folder}").plan == submit(target=TARGET).plan


def test_the_same_key_gives_the_same_search(client: TestClient, body: Body) -> None:
    headers = {"Idempotency-Key": "once"}
    first = client.post("/tune", json=body, headers=headers)
    again = client.post("/tune", json=body, headers=headers)
    assert first.json()["id"] == again.json()["id"]
    assert again.headers["Idempotency-Replayed"] == "true"
    other = client.post("/tune", json=body | {"seed": 1}, headers=headers)
    assert other.json()["code"] == "idempotency_conflict"


def test_lists_tell_searches_apart_and_leave_trials_out(client: TestClient, submit: Submit) -> None:
    job = submit(labels={"team": "nlp"})
    assert client.get("/jobs?kind=grow").json()["jobs"] == []
    for query in ("kind=tune", "label=team=nlp", "status=queued", ""):
        (listed,) = client.get(f"/jobs?{query}").json()["jobs"]
        assert (listed["id"], listed["kind"], listed.get("trials")) == (job.id, "tune", None)
