"""Requests whose source is a config: planned from it alone, and refused in one sentence that names the field."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import transformers
from starlette.testclient import TestClient

from tests.service.conftest import Body, ClientFactory

CONFIG: dict[str, Any] = {
    "model_type": "llama",
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "vocab_size": 300,
}
BERT = {**CONFIG, "model_type": "bert"}
VIT = {**CONFIG, "model_type": "vit", "image_size": 32, "patch_size": 8}
PRETRAIN = {"steps": 20}


@pytest.fixture
def data(tmp_path: Path) -> dict[str, Any]:
    np.save(tmp_path / "ids.npy", np.arange(3_000) % 300)
    return {"uri": f"file://{tmp_path}/ids.npy", "format": "tokens", "sequence_length": 64}


@pytest.fixture
def untrained(body: Body, data: dict[str, Any]) -> Body:
    return {**body, "source": {"config": CONFIG, "pretrain": PRETRAIN}, "data": data}


def test_a_plan_from_the_config_alone(client: TestClient, untrained: Body, body: Body, llama: Path) -> None:
    plan = client.post("/plan", json=untrained).json()
    stock: Any = transformers.LlamaForCausalLM(transformers.LlamaConfig(**CONFIG))
    assert plan["source"]["parameters"] == sum(parameter.numel() for parameter in stock.parameters())
    assert plan["source"]["weight_bytes"] == 4 * plan["source"]["parameters"]
    assert plan["architecture"] == "LlamaForCausalLM"
    assert plan["dtype"] == "float32"
    assert plan["notes"][0] == (
        "The source is trained here first, from random weights: 20 steps of 16 sequences of 64 tokens."
    )
    assert plan["peak_memory_bytes"] >= 16 * plan["source"]["parameters"]
    assert "trained here" not in str(client.post("/plan", json=body).json())


def test_the_record_holds_the_request_with_its_defaults(client: TestClient, untrained: Body) -> None:
    accepted = client.post("/grow", json=untrained, headers={"Idempotency-Key": "one"})
    assert accepted.status_code == 202
    told = accepted.json()["request"]["source"]
    assert told["config"] == CONFIG
    assert told["pretrain"] == {
        "steps": 20,
        "batch_size": 16,
        "learning_rate": 1e-3,
        "warmup_fraction": 0.05,
        "decay": "cosine",
        "weight_decay": 0.1,
        "beta1": 0.9,
        "beta2": 0.999,
        "gradient_clip": 1.0,
        "held_out_every": 50,
    }
    again = client.post("/grow", json=untrained, headers={"Idempotency-Key": "one"})
    assert again.json()["id"] == accepted.json()["id"]


@pytest.mark.parametrize(
    ("source", "request_", "code", "field"),
    [
        ({"config": {"model_type": "mamba"}}, {}, "unknown_model_type", "/source/config"),
        ({"config": {}}, {}, "unknown_model_type", "/source/config"),
        ({"config": {"model_type": "llama"}}, {}, "invalid_config", "/source/config"),
        ({"config": {**CONFIG, "architectures": ["LlamaModel"]}}, {}, "invalid_config", "/source/config"),
        ({"config": {**CONFIG, "hidden_size": 1 << 20, "vocab_size": 1 << 24}}, {}, "invalid_config", "/source/config"),
        ({"config": VIT}, {}, "invalid_config", "/source/config"),
        ({"config": BERT}, {"target": {"hidden_size": 64}}, "invalid_data", "/source/tokenizer"),
        ({}, {"data": None}, "data_required", "/data"),
        ({}, {"source_optimizer": "file:///nowhere"}, "invalid_optimizer_state", "/source_optimizer"),
        ({"tokenizer": "file:///nowhere/at/all"}, {}, "invalid_data", "/source/tokenizer"),
        ({"tokenizer": "http://nowhere"}, {}, "invalid_request", "/source/tokenizer"),
        ({"pretrain": {}}, {}, "invalid_request", "/source/pretrain/steps"),
        ({"pretrain": {"steps": 0}}, {}, "invalid_request", "/source/pretrain/steps"),
        ({"pretrain": {"steps": 5, "epochs": 1}}, {}, "invalid_request", "/source/pretrain/epochs"),
        ({"pretrain": {"steps": 900_000}}, {}, "invalid_request", "/source/pretrain/held_out_every"),
        ({"weights": 1}, {}, "invalid_request", "/source/weights"),
        ({}, {"target": {"hidden_size": 40}}, "impossible_target", "/target/hidden_size"),
    ],
)
def test_refusals(
    client: TestClient, untrained: Body, source: dict[str, Any], request_: dict[str, Any], code: str, field: str
) -> None:
    body = {**untrained, **request_, "source": {**untrained["source"], **source}}
    for path in ("/plan", "/grow"):
        problem = client.post(path, json=body).json()
        assert (problem["code"], problem["field"]) == (code, field), problem
        assert problem["detail"].endswith(".")
        assert problem["status"] == 422


def test_text_takes_a_tokenizer(client: TestClient, untrained: Body, data: dict[str, Any]) -> None:
    problem = client.post("/plan", json={**untrained, "data": {**data, "format": "text"}}).json()
    assert (problem["code"], problem["field"]) == ("invalid_data", "/data/format")
    assert "without a tokenizer" in problem["detail"].lower()


@pytest.mark.parametrize("source", [5, None, ["s3://a/b"], "http://a/b"])
def test_what_is_no_source(client: TestClient, body: Body, source: object) -> None:
    problem = client.post("/plan", json={**body, "source": source}).json()
    assert (problem["code"], problem["field"]) == ("invalid_request", "/source")


def test_a_tokenizer_is_read_where_sources_may_lie(
    client_with: ClientFactory, untrained: Body, llama: Path, tmp_path: Path, data: dict[str, Any]
) -> None:
    client = client_with(allowed_prefixes=[f"file://{tmp_path}"])
    body = {**untrained, "source": {**untrained["source"], "tokenizer": f"file://{llama}"}}
    assert client.post("/plan", json=untrained).status_code == 200
    problem = client.post("/plan", json=body).json()
    assert (problem["code"], problem["field"]) == ("prefix_not_allowed", "/source/tokenizer")


def test_the_output_may_not_lie_around_the_tokenizer(client: TestClient, untrained: Body, llama: Path) -> None:
    source = {**untrained["source"], "tokenizer": f"file://{llama}"}
    problem = client.post("/plan", json={**untrained, "source": source, "output": f"file://{llama}/x"}).json()
    assert problem["code"] == "output_overlaps"
