"""docs/operator-file.md lists every tensor and every metadata entry of an operator's file."""

import json
import re
from pathlib import Path

import pytest
from safetensors.torch import load

from growth.operators import parse_method
from growth.operators.artefact import save_operator
from growth.plan import make_plan
from growth.source import read_source
from storage import Storage, Uri
from storage.folder import Folder
from tests.docs.pages import sections
from tests.growth.fit_bench import fitted

PAGE = {section.heading: section for section in sections("docs/operator-file.md")}
# Together they have every kind of tensor: copies, padding, noise, identity blocks, rows of the next layer, a fit's.
METHODS = ("pad", "lemon", "bert2bert", {"name": "ligo", "rank": 8, "share": "layer", "attention": "dense"})


@pytest.fixture(scope="module", params=METHODS, ids=str)
def file(models: Path, request: pytest.FixtureRequest) -> bytes:
    source = read_source(Folder(Storage(), Uri.parse(f"file://{models}/small")))
    target = {"hidden_size": 384, "num_hidden_layers": 6, "num_key_value_heads": 2}
    plan = make_plan(source.config, source.tensors, target, parse_method(request.param))
    return save_operator(fitted(plan) if plan.method.fits else plan.operator, plan)


def test_every_entry_of_the_metadata_is_listed(file: bytes) -> None:
    header = json.loads(file[8 : 8 + int.from_bytes(file[:8], "little")])
    listed = {key for row in PAGE["Metadata"].rows() for key in re.findall(r"\w+", row[0])}
    assert listed == set(json.loads(header["__metadata__"]["operator"]))


def test_every_tensor_is_listed_with_its_dtype(file: bytes) -> None:
    maps = "|".join(re.findall(r"\w+", " ".join(row[0] for row in PAGE["Tensors"].rows() if "/" not in row[0])))
    rows = [(name, told) for name, told, *_ in (row for row in PAGE["Tensors"].rows() if len(row) == 3)]
    patterns = [(re.escape(name).replace("<map>", f"({maps})").replace("<key>", "[^/]+"), told) for name, told in rows]
    for name, tensor in load(file).items():
        told = [told for pattern, told in patterns if re.fullmatch(pattern, name.replace("frame/", "axes/"))]
        assert len(told) == 1, name
        assert str(tensor.dtype).removeprefix("torch.") in told[0]
