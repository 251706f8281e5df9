"""Grow one tensor: mix its layers, contract it along its axes, compensate the norms, add the seeded residual.

The same code serves the streamed expansion and the fit, where the maps are learned and autograd runs through it.
"""

from collections.abc import Callable
from functools import reduce

import torch
from torch import Tensor

from growth.axes import Dim, Parameter, Role, axis_sizes
from growth.config import ModelConfig
from growth.contraction import apply_map, merge_dims, split_dim
from growth.operators.dense import DenseDepth
from growth.operators.maps import AxisMap, LinearMap, map_name
from growth.operators.operator import DepthMap, DepthMatrix, GrowthOperator, NoiseKind
from growth.residual import Fetch, draw_residual, initial_tensor, new_units

Residual = Callable[[Parameter, int | None, Fetch], Tensor | None]
"""The seeded residual of a target tensor, or None where it has none."""
_MapOf = Callable[[str], LinearMap | None]


class Grower:
    """One operator between two models' sizes, applied tensor by tensor."""

    def __init__(
        self, operator: GrowthOperator, source: ModelConfig, target: ModelConfig, residual: Residual | None = None
    ) -> None:
        """`residual` replaces the operator's own drawing, so that a fit can draw once and keep."""
        self._operator = operator
        self._target = target
        self._source_sizes = axis_sizes(source.sizes)
        self._target_sizes = axis_sizes(target.sizes)
        self._residual = residual or self._draw

    def grow(self, parameter: Parameter, layer: int | None, fetch: Fetch) -> Tensor:
        """The target's tensor of `parameter` in target layer `layer` (None outside the layers).

        Its shape is `parameter.shape` at the target's axis sizes; its dtype is that of what `fetch` gives.
        """
        operator, shape = self._operator, parameter.shape(self._target_sizes)
        if operator.noise is not None and operator.noise.kind is NoiseKind.INITIAL:
            return initial_tensor(operator.noise, self._target, parameter, layer, shape)
        if layer is not None and _silent(operator.depth_matrix(parameter), layer):
            return torch.zeros(shape)
        grown = self._grow_mixed(parameter, layer, fetch)
        assert tuple(grown.shape) == shape
        added = self._residual(parameter, layer, fetch)
        return grown if added is None else grown + added.to(grown.dtype)

    def _draw(self, parameter: Parameter, layer: int | None, fetch: Fetch) -> Tensor | None:
        return draw_residual(self._operator, parameter, layer, self._target_sizes, fetch)

    def _grow_mixed(self, parameter: Parameter, layer: int | None, fetch: Fetch) -> Tensor:
        if layer is None:
            return self._grow_dims(parameter, layer, fetch(None))
        operator = self._operator
        grown = self._grow_dims(parameter, layer, mix_layers(operator.depth_matrix(parameter), layer, fetch))
        if operator.next_depth is None or parameter.role not in (Role.LINEAR, Role.BIAS):
            return grown
        new = new_units(operator.axes, parameter, self._target_sizes)
        if new is None:
            return grown
        following = self._grow_dims(parameter, layer, mix_layers(operator.next_depth, layer, fetch))
        return torch.where(new.to(grown.device), following, grown)

    def _grow_dims(self, parameter: Parameter, layer: int | None, tensor: Tensor) -> Tensor:
        def axis_map(axis: str) -> AxisMap | None:
            return self._operator.axis_map(axis, parameter, layer)

        if parameter.role is Role.NORM_GAIN:
            grown = self._grow_gain(parameter.dims[0], axis_map, tensor)
        else:
            grown = tensor
            for position, dim in enumerate(parameter.dims):
                grown = self._grow_dim(grown, position, dim, _side(axis_map, parameter.role, dim))
        return grown * self._operator.readout_scale if parameter.feeds_tied_head else grown

    def _grow_gain(self, dim: Dim, axis_map: Callable[[str], AxisMap | None], tensor: Tensor) -> Tensor:
        """What acts is the stored gain plus the family's offset, so that sum is what grows."""
        offset = self._target.architecture.norm.gain_offset
        grown = self._grow_dim(tensor + offset, 0, dim, lambda axis: m.gain if (m := axis_map(axis)) else None)
        for axis in dim.axes:
            if (m := axis_map(axis)) and m.gain_fill:
                grown = grown + torch.tensor(m.gain_fill, dtype=grown.dtype, device=grown.device)
        return grown - offset

    def _grow_dim(self, tensor: Tensor, position: int, dim: Dim, map_of: _MapOf) -> Tensor:
        """Every segment grows by the Kronecker product of its axes' maps."""
        if not any(map_of(axis) for axis in dim.axes):
            return tensor
        parts = torch.split(tensor, dim.segment_sizes(self._source_sizes), position)
        grown = [self._grow_segment(p, position, s, map_of) for p, s in zip(parts, dim.segments, strict=True)]
        return grown[0] if len(grown) == 1 else torch.cat(grown, position)

    def _grow_segment(self, tensor: Tensor, position: int, segment: tuple[str, ...], map_of: _MapOf) -> Tensor:
        grown = split_dim(tensor, position, [self._source_sizes[axis] for axis in segment])
        for offset, axis in enumerate(segment):
            if (linear_map := map_of(axis)) is not None:
                grown = apply_map(grown, linear_map, position + offset)
        return merge_dims(grown, position, len(segment))


def mix_layers(depth: DepthMatrix, layer: int, fetch: Fetch) -> Tensor:
    """`sum_k depth[layer, k] W_k`, with one source tensor beside the sum in memory."""
    if isinstance(depth, DenseDepth):
        return reduce(torch.add, (depth.matrix[layer, k] * fetch(k) for k in range(depth.source_layers)))
    assert isinstance(depth, DepthMap)
    return reduce(torch.add, (fetch(k) if weight == 1.0 else weight * fetch(k) for k, weight in depth.rows[layer]))


def _silent(depth: DepthMatrix, layer: int) -> bool:
    return isinstance(depth, DepthMap) and not depth.rows[layer]


def _side(axis_map: Callable[[str], AxisMap | None], role: Role, dim: Dim) -> _MapOf:
    def of(axis: str) -> LinearMap | None:
        found = axis_map(axis)
        return None if found is None else found.named(map_name(role, dim.side))

    return of
