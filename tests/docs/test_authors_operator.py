"""The page's example of an operator from LiGO's own code grows every tensor as that code does."""

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor

from growth.operators import parse_method
from growth.operators.artefact import load_operator
from growth.plan import GrowthPlan, make_plan
from jobs.schema import GrowthRequest
from tests.docs.pages import blocks
from tests.growth.authors_ligo import fitted_state, grown_by_authors
from tests.growth.growing import Source, grown_tensors
from tests.tiny import tiny_bert

PAGE = "docs/operator-file.md"


def converted(models: Path, state: dict[str, Tensor]) -> bytes:
    """What the example makes of `state`, run as it stands."""
    (models / "bert-ligo").mkdir()
    torch.save(state, models / "bert-ligo" / "pytorch_model.bin")
    convert = blocks(PAGE, "python")[1].replace("/models/", f"{models}/")
    done = subprocess.run([sys.executable, "-c", convert], capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    return (models / "bert-ligo.safetensors").read_bytes()


def plan_of(source: Source) -> GrowthPlan:
    """The plan of the page's second request."""
    request = GrowthRequest.model_validate(json.loads(blocks(PAGE, "json")[1]))
    method = parse_method({"name": request.method.name, **request.method.options})
    return make_plan(source.config, source.checkpoint.tensors, request.target, method)


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-13), (torch.float32, 1e-6)], ids=str)
def test_every_tensor_is_what_the_authors_code_makes(dtype: torch.dtype, tolerance: float, tmp_path: Path) -> None:
    source = Source.open(tiny_bert(tmp_path / "bert", dtype=dtype, tie_word_embeddings=False))
    plan, state = plan_of(source), fitted_state()
    operator = load_operator(converted(tmp_path, state), plan)
    weights = {name: source.reader.tensor(info.name) for name, info in plan.source_tensors.items()}
    expected = grown_by_authors(state, weights)
    grown = grown_tensors(replace(plan, operator=operator), source.reader)
    assert expected.keys() == grown.keys()
    for name, tensor in expected.items():
        assert grown[name].dtype is dtype
        assert float((grown[name] - tensor).abs().max() / tensor.abs().max()) < tolerance, name
