"""`grow` in one call: models and folders come out function-preserving, in stock transformers, whole or not at all."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from transformers import AutoTokenizer

from growth import grow
from growth.errors import ImpossibleTarget, InvalidCheckpoint, InvalidData, InvalidMethod, UnknownArchitecture
from growth.fit import mean_loss
from tests.families import FAMILIES
from tests.growth.growing import EXPERTS, load, outputs, relative_difference
from tests.growth.text import TextBatches, token_rows
from tests.growth.variants import Sources

FIRST = [next(iter(family.variants)) for family in FAMILIES.values()]
WIDER = {"hidden_size": 64}


def _stock(sources: Sources, variant: str) -> Any:
    return load(sources(variant, torch.float32).path)[0]


def _runs(model: Any) -> Callable[[dict[str, Tensor]], Any]:
    return lambda batch: model(**batch)


@pytest.mark.parametrize("variant", FIRST)
def test_a_model_grows_into_one_of_its_class_with_its_function(sources: Sources, variant: str) -> None:
    source = _stock(sources, variant)
    before = {name: tensor.clone() for name, tensor in source.state_dict().items()}
    grown = grow(source, WIDER, "hypercloning")
    assert type(grown) is type(source)
    assert not grown.training
    assert sum(p.numel() for p in grown.parameters()) > sum(p.numel() for p in source.parameters())
    grown.set_experts_implementation(EXPERTS["experts_implementation"])
    assert relative_difference(outputs(source), outputs(grown)) <= 5e-5
    assert all(torch.equal(tensor, before[name]) for name, tensor in source.state_dict().items())


@pytest.mark.parametrize("variant", ["llama", "gpt2", "gemma", "bert", "mixtral", "llama-headless"])
def test_a_model_is_grown_to_the_bytes_of_its_folder(sources: Sources, tmp_path: Path, variant: str) -> None:
    source = sources(variant, torch.float32)
    by_folder = grow(source.path, WIDER, {"name": "hypercloning", "snr_db": 10}, output=tmp_path / "folder", seed=3)
    model = grow(_stock(sources, variant), WIDER, {"name": "hypercloning", "snr_db": 10}, seed=3)
    expected = load(by_folder)[0].state_dict()
    assert expected.keys() == model.state_dict().keys()
    assert all(torch.equal(tensor, expected[name]) for name, tensor in model.state_dict().items())


def test_a_folder_grows_into_one_that_stock_transformers_loads(sources: Sources, tmp_path: Path) -> None:
    source, place = sources("llama", torch.float32), tmp_path / "new" / "grown"
    target = {"hidden_size": 48, "num_hidden_layers": 5}
    assert grow(source.path, target, output=str(place), max_shard_bytes=50_000) == place
    model, report = load(place)
    assert not any(report.values()), report
    assert len(list(place.glob("model-*.safetensors"))) > 1
    assert relative_difference(source.outputs, outputs(model)) <= 5e-5
    tokenizers = [AutoTokenizer.from_pretrained(path) for path in (source.path, place)]
    assert tokenizers[0]("a model grows")["input_ids"] == tokenizers[1]("a model grows")["input_ids"]
    training = json.loads((place / "training.json").read_text())
    assert {name for group in training["groups"] for name in group["parameters"]} >= set(model.state_dict())
    assert [file.name for file in place.parent.iterdir()] == ["grown"]


@pytest.mark.parametrize("variant", ["vit", "mixtral", "llama-headless"])
def test_its_training_file_names_parameters_as_stock_modules_do(sources: Sources, tmp_path: Path, variant: str) -> None:
    place = grow(sources(variant, torch.float32).path, WIDER, "hypercloning", output=tmp_path / "grown")
    training = json.loads((place / "training.json").read_text())
    names = {name for group in training["groups"] for name in group["parameters"]}
    assert names >= {name for name, _ in load(place)[0].named_parameters()}


def test_dtype_and_training_mode(sources: Sources) -> None:
    source = _stock(sources, "llama").train()
    grown = grow(source, WIDER, dtype="bfloat16")
    assert {p.dtype for p in grown.parameters()} == {torch.bfloat16}
    assert grown.training


def test_global_random_numbers_are_left_alone(sources: Sources) -> None:
    source, state = _stock(sources, "llama"), torch.get_rng_state()
    grow(source, WIDER)
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize("variant", ["llama", "llama-headless"])
def test_a_fit_learns_on_batches(sources: Sources, variant: str) -> None:
    source = _stock(sources, variant)
    batches = TextBatches(token_rows(sources(variant, torch.float32).path))
    method = {"name": "ligo", "init": "pad", "steps": 6, "batch_size": batches.size, "depth_learning_rate": 0.05}
    method["width_learning_rate"] = 0.01
    target = {"hidden_size": 64, "num_hidden_layers": 4}
    grown, start = grow(source, target, method, batches=batches), grow(source, target, "pad")
    assert not any(p.is_meta for p in grown.parameters())
    if variant == "llama":
        with torch.no_grad():
            fitted, unfitted = (mean_loss(_runs(m), batches.held_out(), shifted=True) for m in (grown, start))
        assert fitted < unfitted


def test_what_can_not_be_is_refused(sources: Sources, tmp_path: Path) -> None:
    folder, model = sources("llama", torch.float32).path, _stock(sources, "llama")
    with pytest.raises(ValueError, match="name one as `output`"):
        grow(folder, WIDER)  # type: ignore[call-overload]
    with pytest.raises(InvalidMethod, match="the source is a folder"):
        grow(folder, WIDER, "ligo", output=tmp_path / "a")
    with pytest.raises(InvalidData, match="batches"):
        grow(model, WIDER, "ligo")
    with pytest.raises(ImpossibleTarget):
        grow(model, {"hidden_size": 16})
    with pytest.raises(InvalidCheckpoint, match="is no folder"):
        grow(tmp_path / "nothing", WIDER, output=tmp_path / "a")
    model.lm_head.weight = torch.nn.Parameter(model.lm_head.weight.to(torch.int8), requires_grad=False)
    with pytest.raises(InvalidCheckpoint, match="quantisation"):
        grow(model, WIDER)
    (tmp_path / "taken").mkdir()
    (tmp_path / "taken" / "file").touch()
    with pytest.raises(FileExistsError, match="exists already"):
        grow(folder, WIDER, output=tmp_path / "taken")
    assert [path.name for path in tmp_path.iterdir()] == ["taken"]


@pytest.mark.parametrize("size", ["128", 128.0, True, None])
def test_a_size_is_a_whole_number(sources: Sources, size: Any) -> None:
    with pytest.raises(ImpossibleTarget, match=r"The target's 'hidden_size' is .* give a whole number"):
        grow(_stock(sources, FIRST[0]), {"hidden_size": size})


def test_a_model_without_a_table_is_refused() -> None:
    from transformers import BloomConfig, BloomModel

    with pytest.raises(UnknownArchitecture, match="bloom"):
        grow(BloomModel(BloomConfig(hidden_size=8, n_head=2, n_layer=1, vocab_size=9)), WIDER)


def test_nothing_is_left_where_the_source_breaks_off(sources: Sources, tmp_path: Path) -> None:
    broken = tmp_path / "broken"
    broken.mkdir()
    for file in sources("llama", torch.float32).path.iterdir():
        (broken / file.name).write_bytes(file.read_bytes())
    # The tie says that the head is the embedding, and the weights that it is another: found when they are read.
    config = json.loads((broken / "config.json").read_text())
    (broken / "config.json").write_text(json.dumps({**config, "tie_word_embeddings": True}))
    with pytest.raises(InvalidCheckpoint, match="differs from"):
        grow(broken, WIDER, output=tmp_path / "grown")
    assert [path.name for path in tmp_path.iterdir()] == ["broken"]


def test_planning_takes_no_torch_and_growing_no_transformers(sources: Sources, tmp_path: Path) -> None:
    source, output = sources("llama", torch.float32).path, tmp_path / "grown"
    told = (
        "import sys, growth, growth.plan; assert 'torch' not in sys.modules; "
        f"growth.grow({str(source)!r}, {WIDER!r}, output={str(output)!r}); print('transformers' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", told], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"
