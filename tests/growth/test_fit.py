"""The fit against a brute-force reference: its gradients, its steps, its rates; and that the loss falls."""

from collections.abc import Mapping
from itertools import pairwise
from math import cos, pi
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from growth.errors import ImpossibleTarget
from growth.fit import IGNORED_LABEL, FitState, Point, mean_loss
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
    perturbed,
    quiet,
)
from tests.growth.growing import Target, load
from tests.growth.text import token_rows
from tests.tiny import tiny_bert, tiny_llama

TOLERANCE = 1e-9
TRAJECTORY = {
    "steps": 10,
    "width_learning_rate": 1e-3,
    "depth_learning_rate": 1e-2,
    "warmup_fraction": 0.2,
    "weight_decay": 0.1,
    "gradient_clip": 0.05,
}


def at(factors: Mapping[str, Tensor]) -> FitState:
    """The state of a fit that stands at `factors`, before its first step."""
    kinds = ("exp_avg", "exp_avg_sq")
    moments = {f"{name}/{kind}": torch.zeros_like(t) for name, t in factors.items() for kind in kinds}
    return FitState(0, dict(factors), moments)


def assert_equal(found: Mapping[str, Tensor], expected: Mapping[str, Tensor]) -> None:
    """Every tensor within the tolerance."""
    assert set(found) == set(expected)
    differences = {name: float((found[name] - tensor).abs().max()) for name, tensor in expected.items()}
    assert {name: d for name, d in differences.items() if not d <= TOLERANCE} == {}


@pytest.mark.parametrize("case", CASES, ids=str)
def test_gradients_equal_those_of_a_brute_force_kronecker_construction(case: Case, tmp_path: Path) -> None:
    bench = Bench.of(case, tmp_path, torch.float64)
    factors = {name: t.requires_grad_() for name, t in perturbed(bench.start()).items()}
    fit, batch = bench.fit(), bench.batches.batch(0)
    fit.resume(at({name: t.detach() for name, t in factors.items()}))
    gradients = torch.autograd.grad(bench.reference_loss(factors, batch), list(factors.values()))
    expected = dict(zip(factors, gradients, strict=True))
    assert_equal(fit.gradients(batch), expected)
    # Attention does not change when all scores of a query move by the same: BERT's key bias has no gradient.
    silent = {name for name, gradient in expected.items() if gradient.abs().max() < 1e-5}
    assert all(name.endswith("self.key.bias") for name in silent)


def reference_fit(bench: Bench) -> tuple[dict[str, Tensor], list[float]]:
    """The factors after the last step, and each step's loss: clipping and AdamW (arXiv 1711.05101) written out."""
    factors = bench.start()
    first, second = ({name: torch.zeros_like(t) for name, t in factors.items()} for _ in range(2))
    losses = []
    for step in range(10):
        leaves = {name: t.detach().requires_grad_() for name, t in factors.items()}
        loss = bench.reference_loss(leaves, bench.batches.batch(step))
        losses.append(loss.item())
        gradients = dict(zip(leaves, torch.autograd.grad(loss, list(leaves.values())), strict=True))
        norm = float(torch.cat([g.flatten() for g in gradients.values()]).norm())
        assert norm > 0.05
        share = (step + 1) / 3 if step < 2 else (10 - step) / 8
        for name, gradient in gradients.items():
            clipped = gradient * (0.05 / (norm + 1e-6))
            first[name] = 0.9 * first[name] + 0.1 * clipped
            second[name] = 0.999 * second[name] + 0.001 * clipped**2
            rate = share * (1e-3 if name.startswith("axes/") else 1e-2)
            mean, spread = first[name] / (1 - 0.9 ** (step + 1)), second[name] / (1 - 0.999 ** (step + 1))
            factors[name] = factors[name] * (1 - rate * 0.1) - rate * mean / (spread.sqrt() + 1e-8)
    return factors, losses


@pytest.mark.parametrize("case", [LLAMA_PAD_TIED, GPT2_CLONING, BERT_PAD], ids=str)
def test_ten_steps_equal_a_reference_written_out_by_hand(case: Case, tmp_path: Path) -> None:
    bench = Bench.of(case, tmp_path, torch.float64, **TRAJECTORY)
    outcome = bench.fit().run(quiet, quiet)
    factors, losses = reference_fit(bench)
    assert_equal(learned(outcome, bench.plan), factors)
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
