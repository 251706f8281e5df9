"""The guides to a new family and a new method, followed: their own code, put in its place, grows real models."""

import sys
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any, cast

import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM, StableLmConfig, StableLmForCausalLM, StableLmModel

import growth.architectures
import growth.operators
from growth import grow
from growth.architectures import ARCHITECTURES
from growth.axes import Architecture, axis_sizes
from growth.errors import ImpossibleTarget, InvalidCheckpoint, InvalidMethod, UnknownArchitecture
from growth.operators import METHODS, describe_methods
from growth.operators.method import Method
from tests.docs.pages import blocks
from tests.growth.growing import relative_difference
from tests.growth.stock import stock_config, stock_shapes

SIZES: dict[str, Any] = {"vocab_size": 300, "hidden_size": 32, "intermediate_size": 56, "num_hidden_layers": 2}
HEADS: dict[str, Any] = {"num_attention_heads": 4, "num_key_value_heads": 2}
Place = Callable[[ModuleType, str, str], ModuleType]


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Place:
    """Puts the code of a page into a package under the name that the page gives it, for the time of a test."""

    def put(package: ModuleType, name: str, page: str) -> ModuleType:
        (code,) = blocks(page, "python")
        (tmp_path / f"{name}.py").write_text(code)
        monkeypatch.setattr(package, "__path__", [*package.__path__, str(tmp_path)])
        module = import_module(f"{package.__name__}.{name}")
        monkeypatch.delitem(sys.modules, module.__name__)
        return module

    return put


@pytest.fixture
def stablelm(place: Place, monkeypatch: pytest.MonkeyPatch) -> Architecture:
    family: Architecture = place(growth.architectures, "stablelm", "docs/new-family.md").STABLELM
    monkeypatch.setitem(cast(dict[str, Architecture], ARCHITECTURES), family.model_type, family)
    return family


@pytest.fixture
def zigzag(place: Place, monkeypatch: pytest.MonkeyPatch) -> type[Method]:
    method: type[Method] = place(growth.operators, "zigzag", "docs/new-method.md").Zigzag
    monkeypatch.setitem(cast(dict[str, type[Method]], METHODS), method.name, method)
    return method


def _perturbed(model: Any) -> Any:
    """Nothing neutral is left in it: biases and gains are off what they start with."""
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.1 * torch.randn(parameter.shape, generator=generator))
    return model.eval()


@torch.no_grad()
def _difference(source: Any, grown: Any) -> float:
    tokens = torch.randint(3, 300, (2, 12), generator=torch.Generator().manual_seed(1))
    outputs = [model(input_ids=tokens)[0] for model in (source, grown)]
    return relative_difference(*({"out": output} for output in outputs))


def test_a_family_is_unknown_without_its_table() -> None:
    with pytest.raises(UnknownArchitecture, match="stablelm"):
        grow(StableLmModel(StableLmConfig(**SIZES, **HEADS)), {"hidden_size": 64})


@pytest.mark.parametrize("switches", [{}, {"use_qkv_bias": True}, {"tie_word_embeddings": True}], ids=str)
def test_the_table_has_the_names_and_shapes_of_the_stock_class(
    stablelm: Architecture, switches: dict[str, Any]
) -> None:
    odd = {"hidden_size": 42, "intermediate_size": 55, "num_attention_heads": 6, "num_key_value_heads": 3}
    raw = {"model_type": "stablelm", **SIZES, **odd, **switches}
    config = stock_config("StableLmForCausalLM", raw)
    sizes, layers = axis_sizes(config.sizes), config.sizes.num_hidden_layers
    told = {
        row.tensor_name(layer): row.shape(sizes)
        for row in stablelm.table(config)
        for layer in row.layers(layers)
        if not row.optional
    }
    assert told == stock_shapes("StableLmForCausalLM", raw)


@pytest.mark.parametrize(
    ("target", "method"),
    [
        ({"hidden_size": 64, "num_hidden_layers": 5}, "hypercloning"),
        ({"hidden_size": 48, "num_attention_heads": 6, "num_key_value_heads": 3}, "lemon"),
        ({"intermediate_size": 100, "num_hidden_layers": 3}, "net2net"),
    ],
    ids=str,
)
@pytest.mark.parametrize("switches", [{}, {"use_qkv_bias": True}, {"tie_word_embeddings": True}], ids=str)
@pytest.mark.usefixtures("stablelm")
def test_the_family_of_the_guide_grows_with_its_function(
    target: dict[str, int], method: str, switches: dict[str, Any]
) -> None:
    source = _perturbed(StableLmForCausalLM(StableLmConfig(**SIZES, **HEADS, **switches)))
    grown = grow(source, target, method)
    assert all(getattr(grown.config, key) == size for key, size in target.items())
    assert _difference(source, grown) <= 5e-5


@pytest.mark.parametrize("switch", ["qk_layernorm", "use_parallel_residual"])
@pytest.mark.usefixtures("stablelm")
def test_what_the_table_is_not_true_for_is_refused(switch: str) -> None:
    with pytest.raises(InvalidCheckpoint):
        grow(StableLmForCausalLM(StableLmConfig(**SIZES, **{**HEADS, switch: True})), {"hidden_size": 64})


@pytest.mark.usefixtures("stablelm")
def test_the_family_of_the_guide_grows_as_a_folder(tmp_path: Path) -> None:
    source = _perturbed(StableLmForCausalLM(StableLmConfig(**SIZES, **HEADS)))
    source.save_pretrained(tmp_path / "small")
    place = grow(tmp_path / "small", {"hidden_size": 64, "num_hidden_layers": 3}, output=tmp_path / "large")
    stock: Any = StableLmForCausalLM
    loaded, report = stock.from_pretrained(place, output_loading_info=True)
    assert not any(report.values()), report
    assert _difference(source, loaded.eval()) <= 5e-5


def test_a_method_is_unknown_before_it_is_on_the_list() -> None:
    with pytest.raises(InvalidMethod, match="zigzag"):
        grow(LlamaForCausalLM(LlamaConfig(**SIZES, **HEADS)), {"hidden_size": 64}, "zigzag")


@pytest.mark.parametrize(
    "method",
    [
        "zigzag",
        {"name": "zigzag", "reverse": False},
        {"name": "zigzag", "split": "unequal", "snr_db": 20},
        {"name": "identity", "width": "zigzag"},
    ],
    ids=str,
)
@pytest.mark.usefixtures("zigzag")
def test_the_method_of_the_guide_keeps_the_function(method: str | dict[str, Any]) -> None:
    source = _perturbed(LlamaForCausalLM(LlamaConfig(**SIZES, **HEADS)))
    assert _difference(source, grow(source, {"hidden_size": 96, "num_hidden_layers": 3}, method)) <= 5e-5


def test_the_method_of_the_guide_copies_there_and_back(zigzag: type[Method]) -> None:
    source = _perturbed(LlamaForCausalLM(LlamaConfig(**SIZES, **HEADS)))
    grown = grow(source, {"hidden_size": 96}, "zigzag")
    old, new = source.model.embed_tokens.weight, grown.model.embed_tokens.weight
    assert torch.equal(new, torch.cat([old, old.flip(1), old], 1))
    (told,) = [method for method in describe_methods() if method.name == "zigzag"]
    assert told.options["properties"]["reverse"]["type"] == "boolean"
    with pytest.raises(ImpossibleTarget) as refused:
        grow(source, {"hidden_size": 48}, "zigzag")
    assert refused.value.nearest["hidden_size"] in (64, 96)
