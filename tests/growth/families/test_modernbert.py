"""ModernBERT: attention in turn, the norm that the first layer lacks, heads that hidden_size decides, fits."""

from math import isfinite
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers

from growth.config import ModelConfig
from growth.errors import ImpossibleTarget, InvalidConfig
from growth.fit import Fit
from growth.operators import parse_method
from growth.operators.ligo import Ligo
from growth.plan import make_plan
from tests.families.family import UNTIED
from tests.growth.fit_bench import MASK_ID, quiet
from tests.growth.growing import Source, Target, grown_tensors
from tests.growth.stock import stock_config, stock_tensors
from tests.growth.text import TextBatches, token_rows
from tests.growth.variants import Sources
from tests.tiny import tiny
from worker.modules import build_module

KIND = "ModernBertForMaskedLM"
HUB: dict[str, Any] = {
    "model_type": "modernbert",
    "hidden_size": 64,
    "intermediate_size": 96,
    "num_hidden_layers": 7,
    "num_attention_heads": 4,
    "vocab_size": 50,
    "pad_token_id": 0,
    "global_rope_theta": 80000.0,
    "local_rope_theta": 5000.0,
}


def stock_of(raw: dict[str, Any]) -> Any:
    return transformers.AutoConfig.for_model(**raw)


@pytest.mark.parametrize("every", [None, 1, 2, 3])
def test_copied_layers_keep_their_kind_of_attention(every: int | None) -> None:
    raw = HUB if every is None else HUB | {"global_attn_every_n_layers": every}
    target_sizes = {"hidden_size": 128, "num_hidden_layers": 14}
    plan = make_plan(stock_config(KIND, raw), stock_tensors(KIND, raw), target_sizes, parse_method("lemon"))
    assert plan.function_preserving
    assert "decoder.weight" not in {tensor.name for tensor in plan.tensors}
    kept, target = stock_of(raw), stock_of(dict(plan.target.raw))
    assert target.layer_types == [layer_type for layer_type in kept.layer_types for _ in range(2)]
    assert target.rope_parameters == kept.rope_parameters
    assert plan.source.epsilon == kept.norm_eps
    assert plan.source.tied is kept.tie_word_embeddings is True


@pytest.mark.parametrize(
    ("more", "said"),
    [
        pytest.param({"global_attn_every_n_layers": 0}, "global_attn_every_n_layers 0", id="never"),
        pytest.param({"global_attn_every_n_layers": "3"}, "global_attn_every_n_layers '3'", id="text"),
        pytest.param({"layer_types": ["full_attention"] * 6}, "layer_types for each of its 7", id="short"),
    ],
)
def test_what_can_not_be(more: dict[str, Any], said: str) -> None:
    with pytest.raises(InvalidConfig, match=said):
        ModelConfig.from_dict(HUB | more)


@pytest.mark.parametrize(
    ("target", "said"),
    [
        ({"hidden_size": 128, "num_attention_heads": 4}, "can't grow from 16 to 32: rotary"),
        ({"hidden_size": 128, "head_dim": 32}, "can't grow from 16 to 32: rotary"),
        ({"hidden_size": 136, "num_attention_heads": 4}, "can't grow from 16 to 34: rotary"),
        ({"hidden_size": 128, "num_attention_heads": 4, "head_dim": 16}, "4 heads of head_dim 16 do not make"),
        ({"hidden_size": 96}, "the stream starts behind a norm"),
    ],
    ids=str,
)
def test_heads_are_refused_with_ones_that_fit(target: Target, said: str) -> None:
    config, tensors = stock_config(KIND, HUB), stock_tensors(KIND, HUB)
    with pytest.raises(ImpossibleTarget, match=said) as refused:
        make_plan(config, tensors, target, parse_method("lemon"))
    nearest = {**target, **refused.value.nearest}
    assert make_plan(config, tensors, nearest, parse_method("lemon")).target.sizes.head_dim == 16


def test_a_copy_of_the_first_layer_has_a_fresh_norm(sources: Sources) -> None:
    source = sources("modernbert-biases")
    plan = source.plan({"hidden_size": 64, "num_hidden_layers": 5}, {"name": "hypercloning", "depth": "stack"})
    grown, name = grown_tensors(plan, source.reader), "model.layers.{}.attn_norm.{}"
    kept = source.reader.tensor(name.format(1, "weight")).repeat(2)
    assert name.format(0, "weight") not in grown
    for layer in (1, 3):
        assert torch.equal(grown[name.format(layer, "weight")], kept)
    for layer in (2, 4):
        assert torch.equal(grown[name.format(layer, "weight")], torch.ones(64))
        assert torch.equal(grown[name.format(layer, "bias")], torch.zeros(64))


def test_a_random_start_has_the_spread_of_transformers() -> None:
    raw = {**HUB, **UNTIED}
    plan = make_plan(stock_config(KIND, raw), stock_tensors(KIND, raw), {"hidden_size": 128}, parse_method("random"))
    target = stock_of(dict(plan.target.raw))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        fresh = dict(transformers.ModernBertForMaskedLM(target).named_parameters())
    for tensor in plan.tensors:
        if fresh[tensor.name].ndim == 2:
            # transformers cuts the tails off.
            told = plan.target.initializer_range * tensor.parameter.init_std
            assert float(fresh[tensor.name].detach().std()) == pytest.approx(0.88 * told, rel=0.1)


def test_a_fit_learns_over_layers_that_lack_a_norm(tmp_path: Path) -> None:
    source = Source.open(tiny(tmp_path, "modernbert-biases"))
    plan = source.plan({"hidden_size": 48, "num_hidden_layers": 3}, {"name": "ligo", "init": "pad", "steps": 8})
    assert isinstance(plan.method, Ligo)
    tensors = {name: source.reader.wide(info.name) for name, info in plan.source_tensors.items()}
    batches = TextBatches(token_rows(tmp_path), MASK_ID)
    outcome = Fit(plan, plan.method, tensors, build_module(plan.target), batches).run(quiet, quiet)
    losses = [point.held_out_loss for point in outcome.curve if point.held_out_loss is not None]
    assert all(map(isfinite, losses))
    assert losses[-1] < losses[0]
