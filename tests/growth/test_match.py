"""Fitting without a head: the distance of hidden states, written out by hand, and that it falls."""

from pathlib import Path

import pytest
import torch
from torch import Tensor

from growth.errors import InvalidMethod
from growth.fit import Fit, Point
from growth.operators.ligo import Ligo
from growth.operators.method import Nested
from tests.growth.fit_bench import BERT_PAD, CLONING, DOUBLE, HALF, MASK_ID, quiet
from tests.growth.growing import Source, Target, build, grown_tensors
from tests.growth.text import TextBatches, token_rows
from tests.tiny import tiny_bert, tiny_llama
from worker.modules import build_module, source_module

MAKERS = {"bert": tiny_bert, "llama": tiny_llama}


def distance(source: Tensor, target: Tensor, init: str) -> float:
    """Of last hidden states; padding leaves 16 units free, copies have none."""
    expected = source if init == "pad" else torch.cat([source, source], -1)
    grown = target[..., : source.shape[-1]] if init == "pad" else target
    return float((grown - expected).square().mean() / expected.square().mean())


@pytest.mark.parametrize("family", ["bert", "llama"])
@pytest.mark.parametrize(("init", "target"), [("pad", HALF), (CLONING, DOUBLE)], ids=["pad", "cloning"])
def test_the_distance_is_that_of_stock_models(family: str, init: Nested, target: Target, tmp_path: Path) -> None:
    path = MAKERS[family](tmp_path, headed=False)
    source = Source.open(path)
    method = {"name": "ligo", "init": init, "steps": 12, "held_out_every": 12, "depth_learning_rate": 0.03}
    plan = source.plan(target, method, seed=3)
    assert isinstance(plan.method, Ligo)
    stock = source_module(plan, source.reader, device="cpu")
    tensors = {name: source.reader.wide(info.name) for name, info in plan.source_tensors.items()}
    batches = TextBatches(token_rows(path), MASK_ID if family == "bert" else None)
    fit = Fit(plan, plan.method, tensors, build_module(plan.target), batches, source_module=stock)
    started = fit.held_out_loss()

    closed = build(plan, grown_tensors(plan, source.reader)).float()
    found, rows = 0.0, 0
    for batch in batches.held_out():
        with torch.no_grad():
            ids = batch["input_ids"]
            pair = [model(input_ids=ids).last_hidden_state for model in (stock, closed)]
        found += distance(pair[0], pair[1], init if isinstance(init, str) else "cloning") * ids.numel()
        rows += ids.numel()
    assert started == pytest.approx(found / rows, rel=1e-4)

    points: list[Point] = []
    fit.run(points.append, quiet)
    first, last = points[0].held_out_loss, points[-1].held_out_loss
    assert first is not None
    assert last is not None
    assert last < first


def test_a_loss_of_its_own_takes_a_head(tmp_path: Path) -> None:
    source = Source.open(tiny_bert(tmp_path, headed=False))
    with pytest.raises(InvalidMethod, match="has no head to compute a loss of its own"):
        source.plan(BERT_PAD.target, {"name": "ligo", "objective": "own"})
