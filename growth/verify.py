"""Compare a grown model with its source: their outputs on the same inputs, and their losses."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod
from typing import Any

import torch
from torch import Tensor, nn

from growth.errors import InvalidCheckpoint
from growth.fit import Batch, mean_loss
from growth.operators.dense import map_matrix
from growth.plan import GrowthPlan


class NotFinite(ValueError):
    """The grown model computes infinities or NaN."""


@dataclass(frozen=True, slots=True)
class Comparison:
    """Source against target on the same inputs."""

    tokens: int
    """Outputs compared: one for each token, or for each image that the head classifies."""
    max_difference: float
    """Largest absolute difference of logits; of hidden states, read back through `contract`, where there is no head."""
    max_output: float
    """Largest absolute output of the source."""
    source_loss: float | None
    target_loss: float | None


@torch.no_grad()
def compare(
    plan: GrowthPlan, source: nn.Module, target: nn.Module, batches: Sequence[Batch], *, compared_batches: int = 2
) -> Comparison:
    """Run both models on `batches`: outputs are compared on the first ones, losses measured where there are labels.

    Raises NotFinite where the target's outputs are not finite, InvalidCheckpoint where the source's are not.
    """
    source.eval()
    target.eval()
    difference, largest, tokens = 0.0, 0.0, 0
    for batch in batches[:compared_batches]:
        inputs = {name: tensor for name, tensor in batch.items() if name != "labels"}
        expected, grown = _output(plan, source(**inputs)), _read_back(plan, _output(plan, target(**inputs)))
        _check_finite(expected, grown)
        difference = max(difference, float((expected - grown).abs().max()))
        largest = max(largest, float(expected.abs().max()))
        tokens += prod(expected.shape[:-1])
    losses = _losses(plan, source, target, batches)
    if losses is None:
        return Comparison(tokens, difference, largest, None, None)
    _check_finite(torch.tensor(losses[0]), torch.tensor(losses[1]))
    return Comparison(tokens, difference, largest, *losses)


def _check_finite(expected: Tensor, grown: Tensor) -> None:
    if not bool(torch.isfinite(expected).all()):
        raise InvalidCheckpoint("The source model itself computes infinities or NaN; growth can't mend its weights.")
    if not bool(torch.isfinite(grown).all()):
        raise NotFinite("The grown model computes infinities or NaN; take float32 or bfloat16 as dtype.")


def _losses(
    plan: GrowthPlan, source: nn.Module, target: nn.Module, batches: Sequence[Batch]
) -> tuple[float, float] | None:
    """The source's and the target's, where there are labels and a head that tells them."""
    if not plan.source.headed or not all("labels" in batch for batch in batches):
        return None
    shifted = plan.source.architecture.objective == "causal_lm"
    source_loss = mean_loss(lambda batch: source(**batch), batches, shifted=shifted)
    return source_loss, mean_loss(lambda batch: target(**batch), batches, shifted=shifted)


def _output(plan: GrowthPlan, outputs: Any) -> Tensor:
    found: Tensor = outputs.logits if plan.source.headed else outputs.last_hidden_state
    return found.float()


def _read_back(plan: GrowthPlan, hidden: Tensor) -> Tensor:
    """Hidden states as a reader of the source's units would see them."""
    if plan.source.headed or "hidden" not in plan.operator.axes:
        return hidden
    return hidden @ map_matrix(plan.operator.axes["hidden"].contract).to(hidden)
