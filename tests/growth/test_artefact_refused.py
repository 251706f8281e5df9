"""An operator's file that is damaged, or was made for other models, is refused in one sentence."""

import json
import random
import re
from collections.abc import Callable, Mapping
from typing import Any

import pytest
import torch
from safetensors.torch import load, save
from torch import Tensor

from growth.errors import InvalidOperator
from growth.operators.artefact import load_operator, save_operator
from growth.plan import GrowthPlan
from tests.growth.fit_bench import HALF, MAKERS, fitted
from tests.growth.growing import Source

Told = dict[str, Any]
Tensors = dict[str, Tensor]


def rewritten(data: bytes, change: Callable[[Tensors, Told], None]) -> bytes:
    """The operator's file with `change` done to its tensors and what it tells."""
    length = int.from_bytes(data[:8], "little")
    told = json.loads(json.loads(data[8 : 8 + length])["__metadata__"]["operator"])
    tensors = load(data)
    change(tensors, told)
    return bytes(save(tensors, metadata={"operator": json.dumps(told)}))


def put(name: str, tensor: Tensor) -> Callable[[Tensors, Told], None]:
    return lambda tensors, _: tensors.update({name: tensor})


def drop(*names: str) -> Callable[[Tensors, Told], None]:
    return lambda tensors, _: [tensors.pop(name) for name in names].clear()


def tell(key: str, value: object) -> Callable[[Tensors, Told], None]:
    return lambda _, told: told.update({key: value})


def tell_noise(key: str, value: object) -> Callable[[Tensors, Told], None]:
    return lambda _, told: told["noise"].update({key: value})


def forget_hidden(tensors: Tensors, _: Told) -> None:
    for name in [name for name in tensors if name.startswith("axes/hidden/")]:
        del tensors[name]


def map_under(key: str, rows: int = 48, columns: int = 32) -> Callable[[Tensors, Told], None]:
    """Dense maps under one more key."""

    def change(tensors: Tensors, _: Told) -> None:
        maps = ("expand", "contract", "seen", "gain")
        tensors.update({f"axes/{key}/{name}": torch.zeros(rows, columns) for name in maps})
        tensors[f"axes/{key}/new"] = torch.ones(rows, dtype=torch.bool)

    return change


def cancel_nothing(tensors: Tensors, told: Told) -> None:
    told["noise"]["kind"] = "null_space"
    tensors["frame/hidden/seen.index"][40] = -2


# The map of `hidden` has 16 new rows; that of `intermediate` has 44, learned by a product of rank 3.
ROWS, UP, DOWN = "axes/hidden/expand.rows", "axes/hidden/expand.up", "axes/intermediate/expand.down"
UP_PROJ = "depth/model.layers.{layer}.mlp.up_proj.weight"
DAMAGES: Mapping[str, tuple[Callable[[Tensors, Told], None], str]] = {
    "a map of another size": (put("axes/hidden/expand", torch.zeros(40, 32)), "40 x 32.* 48 x 32"),
    "a map of another source": (put("axes/heads/contract", torch.zeros(6, 3)), "6 x 3.* 6 x 4"),
    "a map without columns": (put("axes/hidden/expand", torch.zeros(48)), "damaged"),
    "a map of three dimensions": (put("axes/hidden/expand", torch.zeros(48, 32, 2)), "damaged"),
    "a map of whole numbers": (put("axes/hidden/expand", torch.zeros(48, 32, dtype=torch.int64)), "damaged"),
    "a map with NaN": (put("axes/hidden/expand", torch.full((48, 32), float("nan"))), "damaged"),
    "no such map": (drop("axes/hidden/expand.index"), "damaged"),
    "units without a source": (put("frame/hidden/seen.index", torch.full((48,), 32)), "damaged"),
    "units below all": (put("frame/hidden/seen.index", torch.full((48,), -3)), "damaged"),
    "units in fractions": (put("frame/hidden/seen.index", torch.zeros(48)), "damaged"),
    "units in two dimensions": (put("frame/hidden/seen.index", torch.zeros(48, 1, dtype=torch.int64)), "damaged"),
    "fewer weights": (put("frame/hidden/seen.weight", torch.ones(4, dtype=torch.float64)), "damaged"),
    "a frame of another size": (put("frame/hidden/expand", torch.zeros(40, 32)), "frame/hidden/expand is 40 x 32"),
    "fewer units that are new": (put("axes/hidden/new", torch.ones(40, dtype=torch.bool)), "48 units"),
    "numbers for what is new": (put("axes/hidden/new", torch.ones(48)), "damaged"),
    "a shorter fill": (put("axes/hidden/gain_fill", torch.ones(40, dtype=torch.float64)), "48 units"),
    "rows beyond the map": (put(ROWS, torch.arange(33, 49)), "damaged"),
    "rows before the first": (put(ROWS, torch.arange(-1, 15)), "damaged"),
    "rows named twice": (put(ROWS, torch.arange(32, 48) // 2), "damaged"),
    "fewer rows": (put(ROWS, torch.arange(32, 47)), "damaged"),
    "rows in fractions": (put(ROWS, torch.arange(32.0, 48.0)), "damaged"),
    "rows in two dimensions": (put(ROWS, torch.arange(32, 48)[:, None]), "damaged"),
    "no rows": (drop(ROWS), "damaged"),
    "rows of nothing": (drop(UP), r"hidden/expand\.rows.* no part"),
    "an update of more units": (put(UP, torch.zeros(16, 33)), "damaged"),
    "an update of more rows": (put(UP, torch.zeros(17, 32)), "damaged"),
    "an update without columns": (put(UP, torch.zeros(16)), "damaged"),
    "an update of whole numbers": (put(UP, torch.zeros(16, 32, dtype=torch.int64)), "damaged"),
    "an update with NaN": (put(UP, torch.full((16, 32), float("nan"))), "damaged"),
    "an infinite update": (put(UP, torch.full((16, 32), float("inf"))), "damaged"),
    "a right factor of another rank": (put(DOWN, torch.zeros(2, 88)), "damaged"),
    "a right factor of fewer units": (put(DOWN, torch.zeros(3, 80)), "damaged"),
    "a right factor without columns": (put(DOWN, torch.zeros(3)), "damaged"),
    "a right factor with NaN": (put(DOWN, torch.full((3, 88), float("nan"))), "damaged"),
    "no right factor": (drop(DOWN), "damaged"),
    "a right factor of nothing": (
        drop("axes/intermediate/expand.rows", "axes/intermediate/expand.up"),
        r"intermediate/expand\.down.* no part",
    ),
    "an update of what is dense": (put("axes/hidden/expand", torch.zeros(48, 32)), r"expand\.index.* no part"),
    "a tensor of no kind": (put("depths", torch.zeros(3, 2)), "'depths'.* no part"),
    "a product that no tensor has": (map_under("hidden*head_dim"), r"hidden\*head_dim.* such a product"),
    "a product in another order": (map_under("head_dim*heads"), r"head_dim\*heads.* such a product"),
    "a product of unknown axes": (map_under("heads*colour"), "damaged"),
    "a product of no axes": (map_under("*"), "damaged"),
    "a product of another size": (map_under("heads*head_dim", 6, 4), "6 x 4.* 48 x 32"),
    "a product where there is none": (
        map_under("heads*head_dim@model.layers.0.mlp.up_proj"),
        "up_proj.* that module",
    ),
    "an axis where there is none": (map_under("heads@model.layers.{layer}.mlp.up_proj", 6, 4), "that module"),
    "an axis that no model has": (put("axes/colour/expand", torch.ones(2, 2)), "damaged"),
    "an axis left out": (forget_hidden, "no map of 'hidden' for model.embed_tokens.weight"),
    "a module that the model lacks": (
        map_under("hidden@model.layers.3.mlp.up_proj"),
        "hidden@model.layers.3.mlp.up_proj.* no such module",
    ),
    "a parameter that the model lacks": (put("depth/model.up.weight", torch.zeros(3, 2)), "model.up.weight"),
    "more layers": (put(UP_PROJ, torch.zeros(4, 2)), "4 x 2.* 3 x 2"),
    "layers in one row": (put(UP_PROJ, torch.zeros(3)), "damaged"),
    "no layers for one parameter": (drop(UP_PROJ, "depth/*"), "no depth matrix for model.layers.*up_proj"),
    "an empty row of next layers": (put("next_depth", torch.zeros(3, 2)), "next_depth has a row of zeros"),
    "another family": (tell("model_type", "gpt2"), "'gpt2', and the source is a llama"),
    "another source": (tell("source", {"hidden_size": 8}), "source has other sizes.*hidden_size"),
    "another target": (tell("target", None), "target has other sizes"),
    "another format": (tell("format", "model-growth operator 2"), "not of the format"),
    "no scale": (tell("readout_scale", None), "damaged"),
    "an infinite scale": (tell("readout_scale", float("inf")), "not of the format"),
    "another epsilon": (tell("epsilon_scale", 0.5), "name the init"),
    "noise of no kind": (tell_noise("kind", "white"), "damaged"),
    "noise for fewer layers": (tell_noise("order", [0, 1]), "source layer for each target layer"),
    "noise of layers beyond": (tell_noise("order", [0, 1, 2]), "source layer for each target layer"),
    "noise that no map can cancel": (cancel_nothing, "frame holds maps that no closed-form method makes"),
    "noise in words": (tell_noise("column_scale", {"hidden": "much"}), "damaged"),
}


@pytest.fixture(scope="module")
def operator_file(tmp_path_factory: pytest.TempPathFactory) -> tuple[GrowthPlan, bytes]:
    """A plan of a Llama and the operator that was fitted for it."""
    plan = Source.open(MAKERS["llama"](tmp_path_factory.mktemp("llama"))).plan(HALF, {"name": "ligo", "rank": 3})
    return plan, save_operator(fitted(plan), plan)


def refusal(data: bytes, plan: GrowthPlan) -> str:
    with pytest.raises(InvalidOperator) as caught:
        load_operator(data, plan)
    sentence = str(caught.value)
    assert sentence.endswith(".")
    assert ". " not in sentence
    assert "\n" not in sentence
    assert len(sentence) < 500
    return sentence


@pytest.mark.parametrize("damage", DAMAGES)
def test_what_does_not_fit_is_refused_in_one_sentence(damage: str, operator_file: tuple[GrowthPlan, bytes]) -> None:
    plan, data = operator_file
    change, sentence = DAMAGES[damage]
    assert re.search(sentence, refusal(rewritten(data, change), plan))


@pytest.mark.parametrize(
    "data", [b"", b"short", b"\x00" * 64, b"\xff" * 64, b"[" * 100_000, save({"a": torch.ones(2)})]
)
def test_what_is_no_operator_is_refused(data: bytes, operator_file: tuple[GrowthPlan, bytes]) -> None:
    assert "not of the format" in refusal(data, operator_file[0])


def test_a_truncated_operator_is_refused(operator_file: tuple[GrowthPlan, bytes]) -> None:
    plan, data = operator_file
    header = 8 + int.from_bytes(data[:8], "little")
    for length in (4, 100, header - 1, header, header + 10, len(data) - 1):
        refusal(data[:length], plan)
    refusal(data + b"more", plan)


def test_the_untouched_file_is_taken(operator_file: tuple[GrowthPlan, bytes]) -> None:
    plan, data = operator_file
    load_operator(rewritten(data, lambda tensors, told: None), plan)


def test_any_flipped_bytes_of_the_header_are_refused_or_taken_but_never_crash(
    operator_file: tuple[GrowthPlan, bytes],
) -> None:
    plan, data = operator_file
    header, draw = 8 + int.from_bytes(data[:8], "little"), random.Random(7)
    refused = 0
    for _ in range(500):
        broken = bytearray(data)
        for _ in range(draw.randint(1, 3)):
            broken[draw.randrange(8, header)] = draw.choice(b'0123456789{}[]",:azIF -')
        try:
            load_operator(bytes(broken), plan)
        except InvalidOperator:
            refused += 1
    assert refused > 50
