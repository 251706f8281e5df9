"""Sources that are configs: their tensors are those that transformers would write; what can not be trained is told."""

from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from safetensors import safe_open

from growth.errors import GrowthError, InvalidConfig, InvalidData, InvalidOptimizerState, UnknownArchitecture
from growth.schedule import rate_factor
from growth.stock_weights import fill_module, stored_tensors
from growth.training import TrainingOptions, random_seed
from growth.untrained import check_corpus, check_no_state, untrained_source
from tests.families import FAMILIES
from tests.families.family import Family
from worker.modules import build_module

TRAINED = ("ForCausalLM", "LMHeadModel", "ForMaskedLM")
TEXT = {
    name: (family, variant)
    for family in FAMILIES.values()
    for name, variant in family.variants.items()
    if variant.kind.endswith(TRAINED) and variant.kind != "RobertaForCausalLM"
}
LLAMA: dict[str, Any] = {**FAMILIES["llama"].config, "model_type": "llama"}


def _config(family: Family, name: str) -> dict[str, Any]:
    return {**family.config, **family.variants[name].config, "model_type": family.model_type}


@pytest.mark.parametrize("name", TEXT)
def test_its_tensors_are_those_that_transformers_writes(name: str, tmp_path: Path) -> None:
    family, variant = TEXT[name]
    planned = untrained_source(_config(family, name))
    assert planned.config.model_class == variant.kind
    module = build_module(planned.config, seed=0)
    module.save_pretrained(tmp_path)  # type: ignore[operator]
    with safe_open(tmp_path / "model.safetensors", "pt") as file:
        written = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
    assert {key: tuple(tensor.shape) for key, tensor in written.items()} == {
        key: info.shape for key, info in planned.tensors.items()
    }
    stored = stored_tensors(module, planned.config)
    assert stored.keys() == written.keys()
    assert all(stored[key].equal(tensor) for key, tensor in written.items())


@pytest.mark.parametrize("name", ["mixtral", "qwen3_moe-tied", "llama"])
def test_stored_tensors_fill_the_module_again(name: str) -> None:
    family, _ = TEXT[name]
    config = untrained_source(_config(family, name)).config
    module, again = build_module(config, seed=0), build_module(config)
    stored = stored_tensors(module, config)
    fill_module(again, config, stored, stored.__getitem__)
    for one, other in zip(module.parameters(), again.parameters(), strict=True):
        assert one.equal(other)


def test_initial_weights_are_transformers_own() -> None:
    config = untrained_source(LLAMA).config
    before = torch.random.get_rng_state()
    module = build_module(config, seed=random_seed(3, "initial weights"))
    assert torch.random.get_rng_state().equal(before)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(random_seed(3, "initial weights"))
        stock: Any = transformers.LlamaForCausalLM(transformers.LlamaConfig(**LLAMA))
    for name, parameter in stock.named_parameters():
        assert dict(module.named_parameters())[name].equal(parameter)


@pytest.mark.parametrize(
    ("changes", "kind", "told"),
    [
        ({"model_type": "mamba"}, UnknownArchitecture, "mamba"),
        ({"model_type": "t5", "d_model": 32, "d_ff": 64, "d_kv": 8, "num_layers": 2, "num_heads": 4}, None, "t5"),
        ({"hidden_size": None}, InvalidConfig, "hidden_size"),
        ({"hidden_size": 30}, InvalidConfig, "multiple"),
        ({"architectures": ["LlamaModel"]}, InvalidConfig, "LlamaForCausalLM"),
        ({"architectures": ["LlamaForSequenceClassification"]}, InvalidConfig, "LlamaForCausalLM"),
        ({"quantization_config": {"bits": 4}}, InvalidConfig, "float32"),
        ({"hidden_size": 1 << 20, "intermediate_size": 1 << 20, "num_hidden_layers": 64}, InvalidConfig, "parameters"),
        ({"hidden_size": 1 << 40}, InvalidConfig, "out of bounds"),
    ],
)
def test_what_can_not_be_trained(changes: dict[str, Any], kind: type[GrowthError] | None, told: str) -> None:
    with pytest.raises(kind or InvalidConfig, match=told) as refused:
        untrained_source({**LLAMA, **changes})
    assert refused.value.field == "/source/config"
    assert str(refused.value).endswith(".")


def test_too_many_tensors_are_refused_before_they_are_listed() -> None:
    mixture = {**FAMILIES["mixtral"].config, "model_type": "mixtral", "hidden_size": 4, "intermediate_size": 1}
    with pytest.raises(InvalidConfig, match="tensors"):
        untrained_source({**mixture, "num_local_experts": 512, "num_hidden_layers": 4096})


def test_data_and_tokenizer() -> None:
    llama = untrained_source(LLAMA).config
    bert = untrained_source({**FAMILIES["bert"].config, "model_type": "bert"}).config
    check_corpus(llama, "tokens", tokenizer=False)
    check_corpus(llama, "jsonl", tokenizer=True)
    check_corpus(bert, "tokens", tokenizer=True)
    for config, data_format, field in (
        (llama, None, "/data"),
        (llama, "text", "/data/format"),
        (bert, "tokens", "/source/tokenizer"),
    ):
        with pytest.raises(InvalidData) as refused:
            check_corpus(config, data_format, tokenizer=False)
        assert refused.value.field == field
    check_no_state(None)
    with pytest.raises(InvalidOptimizerState, match="leave source_optimizer out"):
        check_no_state("s3://models/state")


@pytest.mark.parametrize(
    ("decay", "expected"),
    [
        ("none", [1 / 3, 2 / 3, 1, 1, 1]),
        ("linear", [1 / 3, 2 / 3, 1, 7 / 8, 1 / 8]),
        ("cosine", [1 / 3, 2 / 3, 1, 0.96, 0.04]),
    ],
)
def test_the_rate(decay: Any, expected: list[float]) -> None:
    options = TrainingOptions(steps=10, warmup_fraction=0.2, decay=decay)
    assert [rate_factor(options, step) for step in (0, 1, 2, 3, 9)] == pytest.approx(expected, abs=5e-3)
