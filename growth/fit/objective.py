"""What a fit lowers: the module's own loss, or its distance from the source's hidden states where there is no head."""

from typing import Any, Protocol

import torch
from torch import Tensor, nn

from growth.contraction import apply_map
from growth.fit.batches import Batch, labelled
from growth.operators.maps import ZERO, AxisMap, LinearMap, Selection
from growth.operators.operator import GrowthOperator
from growth.plan import GrowthPlan


class Objective(Protocol):
    """A mean over the tokens, or images, of a batch that count."""

    def inputs(self, batch: Batch) -> dict[str, Any]:
        """The keyword arguments of the target module."""
        ...

    def count(self, batch: Batch) -> int:
        """How many there are to take the mean over."""
        ...

    def loss(self, outputs: Any, batch: Batch, operator: GrowthOperator, /) -> Tensor:
        """The mean for one batch, from the target module's outputs."""
        ...


class OwnLoss:
    """The loss that the module computes by itself from its labels."""

    def __init__(self, *, shifted: bool) -> None:
        """`shifted`: the module tells each token from those before it, so that a sequence's first takes no loss."""
        self._shifted = shifted

    def inputs(self, batch: Batch) -> dict[str, Any]:
        return dict(batch)

    def count(self, batch: Batch) -> int:
        return labelled(batch, shifted=self._shifted)

    def loss(self, outputs: Any, _batch: Batch, _operator: GrowthOperator) -> Tensor:
        loss: Tensor = outputs.loss
        return loss


class Match:
    """The target's last hidden states against the source's, taken to the target's width by the operator's own map.

    The mean square of the difference in units of the mean square of what should be there. Units that the closed form
    makes of nothing (fresh random ones) are free: no reader of the source would see them.
    """

    def __init__(self, plan: GrowthPlan, source: nn.Module) -> None:
        """`source` is the stock source module with its weights, on the device of the batches."""
        self._source = source.eval()
        self._headed = plan.source.headed
        hidden = plan.operator.axes.get("hidden")
        self._free = None if hidden is None else [unit == ZERO for unit in _selection(hidden).index]

    def inputs(self, batch: Batch) -> dict[str, Any]:
        told = {name: tensor for name, tensor in batch.items() if name != "labels"}
        return told | ({"output_hidden_states": True} if self._headed else {})

    def count(self, batch: Batch) -> int:
        first = next(iter(self.inputs(batch).values()))
        return int(first.numel()) if not first.is_floating_point() else len(first)

    def loss(self, outputs: Any, batch: Batch, operator: GrowthOperator) -> Tensor:
        with torch.no_grad():
            expected = self._hidden(self._source(**self.inputs(batch)))
        grown = self._hidden(outputs).float()
        if self._free is not None:
            met = torch.tensor(self._free, device=grown.device).logical_not()
            expected = apply_map(expected, operator.axes["hidden"].seen, expected.ndim - 1)[..., met]
            grown = grown[..., met]
        return (grown - expected).square().mean() / expected.detach().square().mean()

    def _hidden(self, outputs: Any) -> Tensor:
        hidden: Tensor = outputs.hidden_states[-1] if self._headed else outputs.last_hidden_state
        return hidden


def _selection(axis_map: AxisMap) -> Selection:
    start: LinearMap = axis_map.seen
    assert isinstance(start, Selection)
    return start
