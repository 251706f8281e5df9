"""What a fit learns from: batches in a fixed order, and the loss over the held-out ones."""

from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

from torch import Tensor

Batch = Mapping[str, Tensor]
"""Keyword arguments of the module, examples along the first dimension; `labels` hold -100 where no loss is taken."""
IGNORED_LABEL = -100


class Batches(Protocol):
    """Training batches in a fixed order, and the held-out ones."""

    def batch(self, step: int) -> Batch:
        """The batch of step `step` (from 0), the same at every call."""
        ...

    def held_out(self) -> Sequence[Batch]:
        """Batches that no step sees."""
        ...


class _Output(Protocol):
    @property
    def loss(self) -> Tensor: ...


def mean_loss(run: Callable[[dict[str, Tensor]], _Output], batches: Sequence[Batch], *, shifted: bool) -> float:
    """Mean loss over the labelled tokens or images of `batches`, whatever their number in each.

    `shifted`: the module tells each token from those before it, so that the first of a sequence takes no loss.
    """
    total, tokens = 0.0, 0
    for batch in batches:
        count = labelled(batch, shifted=shifted)
        total += run(dict(batch)).loss.item() * count
        tokens += count
    return total / tokens


def labelled(batch: Batch, *, shifted: bool) -> int:
    """How many labels of `batch` take a loss."""
    labels = batch["labels"]
    return int(((labels[:, 1:] if shifted else labels) != IGNORED_LABEL).sum())
