"""The weights of one step: sources mixed over layers, and target weights where they are written out.

What depends on the factors is computed once a step and cut off there, so that any number of batches can add to its
gradient before that goes on to the factors.
"""

from collections.abc import Iterable, Mapping
from dataclasses import replace

import torch
from torch import Tensor

from growth.apply import Grower
from growth.axes import Parameter, axis_sizes
from growth.fit.ranks import Ranks
from growth.operators.dense import UpdatedMap, depth_matrix
from growth.operators.maps import MAP_NAMES, AxisMap
from growth.operators.operator import GrowthOperator
from growth.plan import GrowthPlan, TargetTensor
from growth.residual import Fetch, Residual, draw_residual


class SourceWeights:
    """The source's tensors, those of all layers of a parameter side by side where they are mixed; and the residual."""

    def __init__(self, plan: GrowthPlan, source: Mapping[str, Tensor], *, device: str, ranks: Ranks) -> None:
        """`source` holds tensors by their name in the table, in float32 or wider; they go to `device` in `settle`."""
        self._plan, self.device, self.ranks = plan, device, ranks
        self._tensors = dict(source)
        self._stacks: dict[str, tuple[Tensor, torch.Size]] = {}
        self._drawn: dict[str, Tensor | None] = {}
        self._sizes = axis_sizes(plan.target.sizes)
        self.dtype = next(iter(source.values())).dtype

    def settle(self, mixed: Iterable[Parameter]) -> None:
        """Bring everything to the device; of the tensors of `mixed` no more than this process' part."""
        for parameter in mixed:
            layers = range(self._plan.source.sizes.num_hidden_layers) if parameter.layered else (None,)
            tensors = [self._tensors.pop(parameter.tensor_name(layer)) for layer in layers]
            stack = torch.stack([self.ranks.part(tensor.flatten()).to(self.device) for tensor in tensors])
            self._stacks[parameter.name] = (stack, tensors[0].shape)
        self._tensors = {name: tensor.to(self.device) for name, tensor in self._tensors.items()}

    def fetch(self, parameter: Parameter) -> Fetch:
        """What `growth.apply` reads the tensors of `parameter` by."""
        return lambda layer: self._tensors[parameter.tensor_name(layer)]

    def stack(self, parameter: Parameter) -> tuple[Tensor, torch.Size]:
        """The tensors of all source layers, each as one row [L_S, n]; and the shape of one that is whole."""
        return self._stacks[parameter.name]

    def residual(self, parameter: Parameter, layer: int | None) -> Tensor | None:
        """The residual of one target tensor, which never changes during a fit; None where there is none."""
        drawn = draw_residual(self._plan.operator, parameter, layer, self._sizes, self.fetch(parameter))
        return None if drawn is None else drawn.rows(0, parameter.shape(self._sizes)[0]).to(self.device, self.dtype)

    def kept_residual(self, parameter: Parameter, layer: int | None, _fetch: Fetch) -> Residual | None:
        """The same for `growth.apply`, drawn once and kept."""
        name = parameter.tensor_name(layer)
        if name not in self._drawn:
            self._drawn[name] = self.residual(parameter, layer)
        drawn = self._drawn[name]
        return None if drawn is None else Residual.of(drawn)


class StepWeights:
    """What one step computes from the factors of `operator` before any batch is run."""

    def __init__(
        self,
        plan: GrowthPlan,
        operator: GrowthOperator,
        source: SourceWeights,
        mixed: Iterable[Parameter],
        written: Mapping[str, TargetTensor],
    ) -> None:
        """`mixed` are applied at the source's size; `written` are written out, by their name in the module."""
        self._source = source
        self._cuts: list[tuple[Tensor, Tensor]] = []
        # What is computed of factors before it is a map, such as a scale, would else be passed back by every batch.
        self.operator = replace(operator, axes={key: self._cut_maps(maps) for key, maps in operator.axes.items()})
        self._of_maps = len(self._cuts)
        self.grower = Grower(self.operator, plan.source, plan.target, source.kept_residual)
        self._mixed = {row.name: [self._cut(tensor) for tensor in self._mix(row)] for row in mixed}
        self.written = {name: self._cut(self._grow(tensor)) for name, tensor in written.items()}

    def mixed(self, parameter: Parameter, layer: int | None) -> Tensor:
        """The source's tensor behind a target tensor, its layers mixed."""
        _, shape = self._source.stack(parameter)
        return self._source.ranks.whole(self._mixed[parameter.name][layer or 0], shape)

    def backward(self) -> None:
        """Take the gradients that batches have left here on to the factors."""
        # The weights' gradients reach the maps, so those come last.
        for cuts in (self._cuts[self._of_maps :], self._cuts[: self._of_maps]):
            reached = [(tensor, cut.grad) for tensor, cut in cuts if cut.grad is not None]
            if reached:
                torch.autograd.backward([tensor for tensor, _ in reached], [gradient for _, gradient in reached])

    def _cut_maps(self, axis_map: AxisMap) -> AxisMap:
        for name in MAP_NAMES:
            found = axis_map.named(name)
            if isinstance(found, UpdatedMap):
                down = None if found.down is None else self._cut(found.down)
                axis_map = axis_map.having(name, replace(found, up=self._cut(found.up), down=down))
        return axis_map

    def _cut(self, tensor: Tensor) -> Tensor:
        if not tensor.requires_grad or tensor.is_leaf:
            return tensor
        cut = tensor.detach().requires_grad_()
        self._cuts.append((tensor, cut))
        return cut

    def _mix(self, parameter: Parameter) -> list[Tensor]:
        stack, _ = self._source.stack(parameter)
        if not parameter.layered:
            return [stack[0]]
        depth = depth_matrix(self.operator.depth_matrix(parameter)).to(stack.device, stack.dtype)
        return list((depth @ stack).unbind())

    def _grow(self, tensor: TargetTensor) -> Tensor:
        return self.grower.grow(tensor.parameter, tensor.layer, self._source.fetch(tensor.parameter))
