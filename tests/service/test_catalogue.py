"""What the catalogue says is what the engine does."""

from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from growth.architectures import ARCHITECTURES
from growth.operators import METHODS
from jobs.schema import ArchitectureDescription, ArchitectureList, MethodList
from tests.service.conftest import Body
from tests.tiny import tiny_bert, tiny_gpt2, tiny_llama

BUILDERS = {"bert": tiny_bert, "gpt2": tiny_gpt2, "llama": tiny_llama}
EXACT = ("hypercloning", "lemon", "net2net", "identity")


def test_methods(client: TestClient) -> None:
    told = MethodList.model_validate(client.get("/methods").json())
    assert {method.name for method in told.methods} == set(METHODS)
    for method in told.methods:
        assert method.summary.endswith(".")
        assert method.paper
    assert [method.name for method in told.methods if method.fits] == ["ligo"]


def test_options_told_are_options_taken(client: TestClient, body: Body) -> None:
    body["data"] = {"uri": body["source"]}
    for method in client.get("/methods").json()["methods"]:
        defaults = {name: option["default"] for name, option in method["options"]["properties"].items()}
        plan = client.post("/plan", json=body | {"method": {"name": method["name"], **defaults}}).json()
        if method["name"] == "auto":
            assert plan["method"] == plan["selection"]["method"]
        elif method["name"] == "ligo":
            assert plan["method"] == {"name": "ligo", **defaults, "init": "lemon"}
        elif "method" in plan:
            assert plan["method"] == {"name": method["name"], **defaults}
        else:
            assert plan["code"] == "impossible_target"


def test_architectures(client: TestClient) -> None:
    told = ArchitectureList.model_validate(client.get("/architectures").json())
    assert {family.model_type for family in told.architectures} == set(ARCHITECTURES)
    gpt2 = next(family for family in told.architectures if family.model_type == "gpt2")
    assert gpt2.keys["hidden_size"] == "n_embd"
    assert "vocab_size" not in gpt2.keys
    assert gpt2.classes == ["GPT2LMHeadModel"]


@pytest.mark.parametrize("family", sorted(BUILDERS))
def test_what_is_told_to_be_exact_is_exact(client: TestClient, body: Body, tmp_path: Path, family: str) -> None:
    source = BUILDERS[family](tmp_path / "source")
    body["source"] = f"file://{source}"
    told = next(f for f in client.get("/architectures").json()["architectures"] if f["model_type"] == family)
    described = ArchitectureDescription.model_validate(told)

    def exact(target: dict[str, int]) -> bool:
        plans: list[dict[str, Any]] = [
            client.post("/plan", json=body | {"target": target, "method": name}).json() for name in EXACT
        ]
        return any(plan.get("function_preserving") for plan in plans)

    assert exact({"hidden_size": 64})
    assert exact({"hidden_size": 48}) == (described.exact.hidden_size == "any")
    assert exact({"num_hidden_layers": 3}) == described.exact.num_hidden_layers
    assert exact({"hidden_size": 64, "num_attention_heads": 4, "head_dim": 16}) == described.exact.head_dim
