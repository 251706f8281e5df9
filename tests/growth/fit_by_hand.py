"""A fit's gradients and steps by hand: autograd through brute force, and optimizers written out."""

from collections.abc import Iterator, Mapping

import torch
from torch import Tensor

from growth.fit import FitState
from tests.growth.fit_bench import Bench, perturbed

TOLERANCE = 1e-9
TRAJECTORY = {
    "steps": 10,
    "width_learning_rate": 1e-3,
    "depth_learning_rate": 1e-2,
    "warmup_fraction": 0.2,
    "weight_decay": 0.1,
    "gradient_clip": 0.05,
}
"""Options of which everything shows in ten steps."""

Tensors = dict[str, Tensor]


def assert_equal(found: Mapping[str, Tensor], expected: Mapping[str, Tensor], tolerance: float = TOLERANCE) -> None:
    """Every tensor within the tolerance."""
    assert set(found) == set(expected)
    assert {name: found[name].shape for name in found} == {name: t.shape for name, t in expected.items()}
    differences = {name: float((found[name] - tensor).abs().max()) for name, tensor in expected.items()}
    assert {name: d for name, d in differences.items() if not d <= tolerance} == {}


def at(factors: Mapping[str, Tensor]) -> FitState:
    """The state of a fit that stands at `factors`, before its first step."""
    kinds = ("exp_avg", "exp_avg_sq")
    moments = {f"{name}/{kind}": torch.zeros_like(t) for name, t in factors.items() for kind in kinds}
    return FitState(0, dict(factors), moments)


def gradients(bench: Bench, factors: Mapping[str, Tensor], step: int = 0) -> Tensors:
    """Those of the fit itself at `factors`."""
    fit = bench.fit()
    fit.resume(at(factors))
    return fit.gradients(bench.batches.batch(step))


def gradients_by_hand(bench: Bench, factors: Mapping[str, Tensor], step: int = 0) -> tuple[float, Tensors]:
    """The loss at `factors` and its gradient, through dense matrices."""
    leaves = {name: t.detach().requires_grad_() for name, t in factors.items()}
    loss = bench.reference_loss(leaves, bench.batches.batch(step))
    return loss.item(), dict(zip(leaves, torch.autograd.grad(loss, list(leaves.values())), strict=True))


def assert_gradients(bench: Bench) -> None:
    """The fit's gradients are those of brute force, where no factor is where it started."""
    factors = perturbed(bench.start())
    _, expected = gradients_by_hand(bench, factors)
    assert_equal(gradients(bench, factors), expected)
    # Attention does not change when all scores of a query move by the same: BERT's key bias has no gradient.
    silent = {name for name, gradient in expected.items() if not gradient.abs().max() > 1e-9}
    assert all(name.endswith("self.key.bias") for name in silent)


def adamw_by_hand(bench: Bench) -> tuple[Tensors, list[float]]:
    """The factors after the last step of `TRAJECTORY`, and each step's loss (arXiv 1711.05101)."""
    factors, losses = bench.start(), []
    first, second = ({name: torch.zeros_like(t) for name, t in factors.items()} for _ in range(2))
    for step, share in enumerate(_shares()):
        loss, found = gradients_by_hand(bench, factors, step)
        losses.append(loss)
        for name, gradient in _clipped(found).items():
            first[name] = 0.9 * first[name] + 0.1 * gradient
            second[name] = 0.999 * second[name] + 0.001 * gradient**2
            rate = share * _peak(name)
            mean, spread = first[name] / (1 - 0.9 ** (step + 1)), second[name] / (1 - 0.999 ** (step + 1))
            factors[name] = factors[name] * (1 - rate * 0.1) - rate * mean / (spread.sqrt() + 1e-8)
    return factors, losses


def sgd_by_hand(bench: Bench) -> tuple[Tensors, list[float]]:
    """The same by gradient descent with a momentum of 0.9, the weight decay being part of the gradient."""
    factors, losses = bench.start(), []
    momentum = {name: torch.zeros_like(t) for name, t in factors.items()}
    for step, share in enumerate(_shares()):
        loss, found = gradients_by_hand(bench, factors, step)
        losses.append(loss)
        for name, gradient in _clipped(found).items():
            momentum[name] = 0.9 * momentum[name] + gradient + 0.1 * factors[name]
            factors[name] = factors[name] - share * _peak(name) * momentum[name]
    return factors, losses


def _shares() -> Iterator[float]:
    return ((step + 1) / 3 if step < 2 else (10 - step) / 8 for step in range(10))


def _peak(name: str) -> float:
    return 1e-3 if name.startswith("axes/") else 1e-2


def _clipped(gradients: Mapping[str, Tensor]) -> Tensors:
    norm = float(torch.cat([g.flatten() for g in gradients.values()]).norm())
    assert norm > 0.05
    return {name: gradient * (0.05 / (norm + 1e-6)) for name, gradient in gradients.items()}
