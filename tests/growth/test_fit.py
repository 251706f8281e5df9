"""The fit against a brute-force reference: its gradients, its steps, its rates; and that the loss falls."""

from itertools import pairwise
from math import cos, pi
from pathlib import Path

import pytest
import torch
from torch import nn

from growth.errors import ImpossibleTarget
from growth.fit import IGNORED_LABEL, Point, mean_loss
from growth.operators.ligo import Ligo
from growth.schedule import rate_factor
from tests.growth.fit_bench import (
    BERT_PAD,
    CASES,
    GPT2_CLONING,
    GPT2_PAD,
    LLAMA_PAD,
    LLAMA_PAD_TIED,
    Bench,
    Case,
    learned,
    quiet,
)
from tests.growth.fit_by_hand import TRAJECTORY, adamw_by_hand, assert_equal, assert_gradients
from tests.growth.growing import Target, load
from tests.growth.text import token_rows
from tests.tiny import tiny_bert, tiny_llama


@pytest.mark.parametrize("case", CASES, ids=str)
def test_gradients_equal_those_of_a_brute_force_kronecker_construction(case: Case, tmp_path: Path) -> None:
    assert_gradients(Bench.of(case, tmp_path, torch.float64))


@pytest.mark.parametrize("case", [LLAMA_PAD_TIED, GPT2_CLONING, BERT_PAD], ids=str)
def test_ten_steps_equal_a_reference_written_out_by_hand(case: Case, tmp_path: Path) -> None:
    bench = Bench.of(case, tmp_path, torch.float64, **TRAJECTORY)
    outcome = bench.fit().run(quiet, quiet)
    factors, losses = adamw_by_hand(bench)
    assert_equal(learned(outcome, bench), factors)
    assert outcome.learned_numbers == sum(t.numel() for t in factors.values())
    assert [p.loss for p in outcome.curve[1:]] == pytest.approx(losses, abs=1e-6)


@pytest.mark.parametrize("case", [LLAMA_PAD, GPT2_PAD, BERT_PAD], ids=str)
def test_the_loss_falls_on_real_text(case: Case, tmp_path: Path) -> None:
    bench = Bench.of(case, tmp_path, torch.float32, steps=30, depth_learning_rate=0.03, held_out_every=10)
    points: list[Point] = []
    outcome = bench.fit().run(points.append, quiet)
    assert tuple(points) == outcome.curve
    assert [p.step for p in points] == list(range(31))
    assert [p.step for p in points if p.held_out_loss is not None] == [0, 10, 20, 30]
    assert points[0].loss is None
    first, last = points[0].held_out_loss, points[-1].held_out_loss
    assert first is not None
    assert last is not None
    assert last < first - 0.05


@pytest.mark.parametrize("target", [{"hidden_size": 64}, {"num_hidden_layers": 3}], ids=["width", "depth"])
def test_one_direction_alone_is_fitted_too(target: Target, tmp_path: Path) -> None:
    bench = Bench.of(Case("llama", "pad", target), tmp_path, torch.float32, steps=1)
    outcome = bench.fit().run(quiet, quiet)
    kinds = {name.partition("/")[0] for name in bench.fit().gradients(bench.batches.batch(0))}
    assert kinds == ({"axes"} if "hidden_size" in target else {"depth"})
    assert outcome.curve[-1].held_out_loss != outcome.curve[0].held_out_loss


def test_a_target_of_the_same_sizes_has_nothing_to_fit(tmp_path: Path) -> None:
    with pytest.raises(ImpossibleTarget, match="nothing to fit"):
        Bench.of(Case("llama", "pad", {"num_hidden_layers": 2}), tmp_path, torch.float32)


@pytest.mark.parametrize("steps", [1, 2, 7, 100])
@pytest.mark.parametrize("fraction", [0.0, 0.1, 0.5, 0.9])
def test_the_rate_warms_up_and_decays_inside_the_budget(steps: int, fraction: float) -> None:
    warmup = round(fraction * steps)
    for decay in ("linear", "cosine", "none"):
        rates = [rate_factor(Ligo(steps=steps, warmup_fraction=fraction, decay=decay), step) for step in range(steps)]
        assert all(0 < rate <= 1 for rate in rates)
        assert rates[0] == (1.0 if warmup == 0 else 1 / (warmup + 1))
        assert all(a < b for a, b in pairwise(rates[: warmup + 1]))
        assert warmup == steps or rates[warmup] == 1.0
        after = steps - warmup
        last = {"none": 1.0, "linear": 1 / max(after, 1), "cosine": (1 + cos(pi * (1 - 1 / max(after, 1)))) / 2}
        assert after == 0 or rates[-1] == pytest.approx(last[decay])
        assert decay == "none" or all(a > b for a, b in pairwise(rates[warmup:]))


@pytest.mark.parametrize("masked", [False, True], ids=["causal", "masked"])
def test_the_mean_loss_counts_tokens_not_batches(masked: bool, tmp_path: Path) -> None:
    path = (tiny_bert if masked else tiny_llama)(tmp_path)
    model, rows = load(path)[0], token_rows(path)[:7].clone()
    labels = rows.clone()
    labels[0, 5:], labels[2, 0], labels[6, :20] = IGNORED_LABEL, IGNORED_LABEL, IGNORED_LABEL
    batches = [{"input_ids": rows[part], "labels": labels[part]} for part in (slice(0, 1), slice(1, 6), slice(6, 7))]
    with torch.no_grad():
        logits = model(input_ids=rows).logits
        told = (logits.flatten(0, 1), labels.flatten())
        if not masked:
            told = (logits[:, :-1].flatten(0, 1), labels[:, 1:].flatten())
        expected = nn.functional.cross_entropy(*told, ignore_index=IGNORED_LABEL)
        found = mean_loss(lambda batch: model(**batch), batches, shifted=not masked)
    assert found == pytest.approx(float(expected), abs=1e-5)
