"""Symmetry under training, by AdamW in stock transformers: even copies never part, and each option parts them."""

from collections import defaultdict
from collections.abc import Iterator, Mapping
from itertools import product
from typing import Any

import pytest
import torch
from torch import Tensor

from growth.operators.maps import ZERO, Selection
from growth.plan import GrowthPlan
from tests.families.family import VOCAB_SIZE
from tests.growth.growing import Target, build, difference, grown_tensors, outputs
from tests.growth.variants import Sources

STEPS = 8
WIDE: Target = {"hidden_size": 64}
PADDED: Target = {"hidden_size": 48}
EVEN: Mapping[str, Any] = {"split": "even", "snr_db": None}
BREAKING: Mapping[str, Mapping[str, Any]] = {
    "unequal": {"split": "unequal"},
    "snr": {"snr_db": 20},
    "both": {"split": "unequal", "snr_db": 20},
}
COPYING = ("net2net", "hypercloning", "lemon")
BLOCK = "model.layers.{}.mlp.{}.weight"


def train(plan: GrowthPlan, tensors: Mapping[str, Tensor]) -> Any:
    """The stock model in float32 after a few steps on random tokens."""
    model = build(plan, tensors).float().train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
    generator = torch.Generator().manual_seed(0)
    for _ in range(STEPS):
        ids = torch.randint(VOCAB_SIZE, (4, 16), generator=generator)
        optimizer.zero_grad()
        model(input_ids=ids, labels=ids).loss.backward()
        optimizer.step()
    return model.eval()


def copies(plan: GrowthPlan, axis: str) -> Iterator[tuple[int, int]]:
    """Pairs of target units that copy one source unit."""
    expand = plan.operator.axes[axis].expand
    assert isinstance(expand, Selection)
    units = defaultdict(list)
    for unit, copied in enumerate(expand.index):
        units[copied].append(unit)
    units.pop(ZERO, None)
    yield from ((first, other) for first, *others in units.values() for other in others)


def apart(model: Any, plan: GrowthPlan, layer: int) -> float:
    """The largest difference between what two copies in the feed-forward part say, in units of what they say."""
    said: list[Tensor] = []
    handle = model.model.layers[layer].mlp.up_proj.register_forward_hook(lambda _m, _i, output: said.append(output))
    with torch.no_grad():
        model(input_ids=torch.arange(3, 35).reshape(1, -1))
    handle.remove()
    first, second = zip(*copies(plan, "intermediate"), strict=True)
    return float((said[0][..., first] - said[0][..., second]).abs().max() / said[0].abs().max())


@pytest.mark.parametrize("method", COPYING)
def test_even_copies_stay_bit_identical(sources: Sources, method: str) -> None:
    source = sources("llama", torch.float32)
    plan = source.plan(WIDE, {"name": method, **EVEN})
    before = grown_tensors(plan, source.reader)
    weights = train(plan, before).state_dict()
    for layer, (name, axis, dim) in product(
        range(2), [("up_proj", "intermediate", 0), ("down_proj", "intermediate", 1), ("down_proj", "hidden", 0)]
    ):
        trained = weights[BLOCK.format(layer, name)]
        assert float((trained - before[BLOCK.format(layer, name)]).abs().min()) > 0, name
        for first, second in copies(plan, axis):
            assert torch.equal(trained.select(dim, first), trained.select(dim, second)), (name, first, second)


@pytest.mark.parametrize("option", BREAKING)
@pytest.mark.parametrize("method", COPYING)
def test_every_option_parts_the_copies(sources: Sources, method: str, option: str) -> None:
    source = sources("llama", torch.float32)
    plan = source.plan(WIDE, {"name": method, **EVEN, **BREAKING[option]})
    tensors = grown_tensors(plan, source.reader)
    before, after = build(plan, tensors).float(), train(plan, tensors)
    for layer in range(2):
        assert apart(before, plan, layer) < 1e-5
        assert apart(after, plan, layer) > 1e-3


@pytest.mark.parametrize("method", ["net2net", "lemon"])
def test_padding_that_nothing_reads_stays_silent(sources: Sources, method: str) -> None:
    source = sources("llama", torch.float32)

    def trained(noise: float) -> Tensor:
        plan = source.plan(PADDED, {"name": method, "noise": noise})
        weights: dict[str, Tensor] = train(plan, grown_tensors(plan, source.reader)).state_dict()
        return torch.cat([weights[BLOCK.format(layer, "down_proj")][32:] for layer in range(2)])

    assert not trained(noise=0.0).any()
    learned = trained(noise=1.0)
    assert float(learned.abs().min()) > 0
    assert len(set(map(tuple, learned.tolist()))) == len(learned)


def test_new_rows_of_bert2bert_part_copies_but_in_the_last_layer(sources: Sources) -> None:
    source = sources("llama", torch.float32)

    def trained(**options: Any) -> list[float]:
        plan = source.plan(WIDE, {"name": "bert2bert", **options})
        return [apart(train(plan, grown_tensors(plan, source.reader)), plan, layer) for layer in range(2)]

    first, last = trained(**EVEN)
    assert first > 1e-3
    assert last == 0
    for options in BREAKING.values():
        assert min(trained(**options)) > 1e-3


@pytest.mark.parametrize("option", BREAKING)
@pytest.mark.parametrize("method", [*COPYING, "bert2bert"])
def test_options_draw_from_the_seed(sources: Sources, method: str, option: str) -> None:
    source = sources("gpt2")
    first, again, other = (
        grown_tensors(source.plan(WIDE, {"name": method, **EVEN, **BREAKING[option]}, seed=seed), source.reader)
        for seed in (1, 1, 2)
    )
    name = "transformer.h.1.mlp.c_proj.weight"
    assert all(torch.equal(first[n], again[n]) for n in first)
    assert not torch.equal(first[name], other[name])


@pytest.mark.parametrize("option", BREAKING)
@pytest.mark.parametrize("method", COPYING)
@pytest.mark.parametrize("variant", ["bert", "gpt2", "llama-tied"])
def test_options_keep_the_function(sources: Sources, variant: str, method: str, option: str) -> None:
    source = sources(variant)
    plan = source.plan({**WIDE, "intermediate_size": 200}, {"name": method, **EVEN, **BREAKING[option]}, seed=5)
    assert plan.function_preserving
    assert difference(source.outputs, outputs(build(plan, grown_tensors(plan, source.reader)))) <= 1e-9
