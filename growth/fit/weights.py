"""The weights of one step: sources mixed over layers, and target weights where they are written out.

What depends on the factors is computed once a step and cut off there, so that any number of batches can add to its
gradient before that goes on to the factors.
"""

from collections.abc import Iterable, Mapping
from dataclasses import replace

import torch
from torch import Tensor

from growth.apply import Grower, mix_layers
from growth.axes import Parameter, axis_sizes
from growth.operators.dense import DenseDepth, UpdatedMap
from growth.operators.maps import MAP_NAMES, AxisMap
from growth.operators.operator import GrowthOperator
from growth.plan import GrowthPlan, TargetTensor
from growth.residual import Fetch, Residual, draw_residual


class SourceWeights:
    """The source's tensors on one device, those of all layers of a parameter side by side, and the residual."""

    def __init__(self, plan: GrowthPlan, source: Mapping[str, Tensor], *, device: str) -> None:
        """`source` holds tensors by their name in the table, in float32 or wider."""
        self._plan, self.device = plan, device
        self._tensors = {name: tensor.to(device) for name, tensor in source.items()}
        self._stacks: dict[str, Tensor] = {}
        self._drawn: dict[str, Tensor | None] = {}
        self._sizes = axis_sizes(plan.target.sizes)

    @property
    def dtype(self) -> torch.dtype:
        return next(iter(self._tensors.values())).dtype

    def fetch(self, parameter: Parameter) -> Fetch:
        """What `growth.apply` reads the tensors of `parameter` by."""
        return lambda layer: self._tensors[parameter.tensor_name(layer)]

    def stack(self, parameter: Parameter) -> Tensor:
        """The tensors of all source layers [L_S, ...], which from now on are views of it."""
        if parameter.name not in self._stacks:
            layers = range(self._plan.source.sizes.num_hidden_layers)
            names = [parameter.tensor_name(layer) for layer in layers]
            stack = torch.stack([self._tensors[name] for name in names])
            self._tensors |= dict(zip(names, stack.unbind(), strict=True))
            self._stacks[parameter.name] = stack
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
        self._mixed = {row.name: [self._cut(t) for t in self._mix(row)] for row in mixed}
        self.written = {name: self._cut(self._grow(tensor)) for name, tensor in written.items()}

    def mixed(self, parameter: Parameter, layer: int | None) -> Tensor:
        """The source's tensor behind a target tensor, its layers mixed."""
        return self._mixed[parameter.name][layer or 0]

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
        if not parameter.layered:
            return [self._source.fetch(parameter)(None)]
        depth = self.operator.depth_matrix(parameter)
        if isinstance(depth, DenseDepth):
            stack = self._source.stack(parameter)
            mixed = depth.matrix @ stack.flatten(1)
            return [tensor.view(stack.shape[1:]) for tensor in mixed.unbind()]
        fetch, layers = self._source.fetch(parameter), range(depth.target_layers)
        return [mix_layers(depth, layer, fetch) for layer in layers]

    def _grow(self, tensor: TargetTensor) -> Tensor:
        return self.grower.grow(tensor.parameter, tensor.layer, self._source.fetch(tensor.parameter))
