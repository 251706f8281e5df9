"""Grow one tensor: mix its layers, contract it along its axes, compensate the norms, add the seeded residual.

The same code serves the streamed expansion and the fit, where the maps are learned and autograd runs through it.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import reduce
from math import prod, sqrt

import torch
from torch import Tensor

from growth.axes import Dim, Parameter, Role, axis_sizes
from growth.config import ModelConfig
from growth.contraction import compute, copy_units, merge_dims, split_dim, wide
from growth.operators.dense import DenseDepth
from growth.operators.maps import AxisMap, LinearMap, Selection, map_name
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
        family = source.architecture
        self._embedding_scale = family.embedding_scale(source.sizes) / family.embedding_scale(target.sizes)
        readout_scale = family.readout_scale(source.sizes) / family.readout_scale(target.sizes)
        # A tied head reads the rescaled embedding, so the norm before it takes that scale back.
        self._tied_scale = operator.readout_scale * readout_scale / self._embedding_scale

    def grow(self, parameter: Parameter, layer: int | None, fetch: Fetch, dtype: torch.dtype | None = None) -> Tensor:
        """The target's tensor of `parameter` in target layer `layer` (None outside the layers).

        Its shape is `parameter.shape` at the target's axis sizes. It is computed in float32, or float64 where `fetch`
        gives that, and cast to `dtype` once, as early as nothing but copies is left to do; None leaves it as it is.
        """
        operator, shape = self._operator, parameter.shape(self._target_sizes)
        if operator.noise is not None and operator.noise.kind is NoiseKind.INITIAL:
            return _cast(initial_tensor(operator.noise, self._target, parameter, layer, shape), dtype)
        if layer is not None and _silent(operator.depth_matrix(parameter), layer):
            return torch.zeros(shape, dtype=dtype)
        fetch = self._with_absent(parameter, fetch)
        added = self._residual(parameter, layer, fetch)
        grown = self._grow_mixed(parameter, layer, fetch, dtype if added is None else None)
        assert tuple(grown.shape) == shape
        if added is None:
            return grown
        return _cast(wide(grown) + added.to(wide(grown).dtype) * self.scale(parameter), dtype)

    def _with_absent(self, parameter: Parameter, fetch: Fetch) -> Fetch:
        if not parameter.absent_layers:
            return fetch
        initial = 1.0 - self._target.architecture.norm.gain_offset if parameter.role is Role.NORM_GAIN else 0.0
        absent = torch.full(parameter.shape(self._source_sizes), initial)
        return lambda layer: absent if layer in parameter.absent_layers else fetch(layer)

    def _draw(self, parameter: Parameter, layer: int | None, fetch: Fetch) -> Tensor | None:
        return draw_residual(self._operator, parameter, layer, self._target_sizes, fetch)

    def _grow_mixed(self, parameter: Parameter, layer: int | None, fetch: Fetch, dtype: torch.dtype | None) -> Tensor:
        if layer is None:
            return self._grow_dims(parameter, layer, fetch(None), dtype)
        operator = self._operator
        mixed = mix_layers(operator.depth_matrix(parameter), layer, fetch)
        grown = self._grow_dims(parameter, layer, mixed, dtype)
        if operator.next_depth is None or parameter.role not in (Role.LINEAR, Role.BIAS):
            return grown
        new = new_units(operator.axes, parameter, self._target_sizes)
        if new is None:
            return grown
        following = self._grow_dims(parameter, layer, mix_layers(operator.next_depth, layer, fetch), dtype)
        return torch.where(new.to(grown.device), following, grown)

    def _grow_dims(self, parameter: Parameter, layer: int | None, tensor: Tensor, dtype: torch.dtype | None) -> Tensor:
        def axis_map(axis: str) -> AxisMap | None:
            return self._operator.axis_map(axis, parameter, layer)

        if parameter.role is Role.NORM_GAIN:
            return _cast(self._grow_gain(parameter, axis_map, tensor), dtype)
        left = []
        for position, dim in enumerate(parameter.dims):
            tensor, copies = self._compute_dim(tensor, position, dim, _side(axis_map, parameter.role, dim))
            left.append(copies)
        tensor = _cast(self._scaled(parameter, tensor), dtype)
        for position in reversed(range(len(left))):
            tensor = _copy_dim(tensor, position, left[position])
        return tensor

    def _scaled(self, parameter: Parameter, tensor: Tensor) -> Tensor:
        scale = self.scale(parameter)
        return tensor if scale == 1.0 else wide(tensor) * scale

    def scale(self, parameter: Parameter) -> float:
        """What every entry of this parameter is multiplied by, beside its maps."""
        scale = self._tied_scale if parameter.feeds_tied_head else 1.0
        if parameter.scaled_embedding:
            scale *= self._embedding_scale
        if parameter.feeds_inner_norm:
            scale *= sqrt(self._operator.epsilon_scale)
        return scale

    def _grow_gain(self, parameter: Parameter, axis_map: Callable[[str], AxisMap | None], tensor: Tensor) -> Tensor:
        """What acts is the stored gain plus the family's offset, so that sum is what grows."""
        (dim,) = parameter.dims
        offset = self._target.architecture.norm.gain_offset
        grown = self._grow_stored_gain(parameter, axis_map, tensor)
        if offset:
            # Zero where gains are but copied: those keep every bit.
            ones = torch.ones_like(tensor, dtype=wide(tensor).dtype)
            grown = grown + offset * (self._grow_stored_gain(parameter, axis_map, ones) - 1.0)
        if any((m := axis_map(axis)) and m.gain_fill for axis in dim.axes):
            grown = grown + self._gain_fill(dim, axis_map).to(grown.device, grown.dtype)
        return grown

    def _gain_fill(self, dim: Dim, axis_map: Callable[[str], AxisMap | None]) -> Tensor:
        """A unit of a product of axes is filled where it is on either."""

        def left(axis: str) -> Tensor:
            found = axis_map(axis)
            fill = found.gain_fill if found and found.gain_fill else (0.0,) * self._target_sizes[axis]
            return 1.0 - torch.tensor(fill, dtype=torch.float64)

        return 1.0 - torch.cat([reduce(torch.kron, map(left, segment)) for segment in dim.segments])

    def _grow_stored_gain(
        self, parameter: Parameter, axis_map: Callable[[str], AxisMap | None], tensor: Tensor
    ) -> Tensor:
        (dim,) = parameter.dims
        gains, left = self._compute_dim(wide(tensor), 0, dim, _gain(axis_map))
        return _copy_dim(self._scaled(parameter, gains), 0, left)

    def _compute_dim(self, tensor: Tensor, position: int, dim: Dim, map_of: _MapOf) -> tuple[Tensor, list["_Copies"]]:
        """What the maps of one dimension compute, and the copies left; segments grow by Kronecker products of maps."""
        if not any(map_of(axis) for axis in dim.axes):
            return tensor, []
        parts = torch.split(tensor, dim.segment_sizes(self._source_sizes), position)
        done = [self._compute_segment(p, position, s, map_of) for p, s in zip(parts, dim.segments, strict=True)]
        widest = reduce(torch.promote_types, (part.dtype for part, _ in done))
        joined = done[0][0] if len(done) == 1 else torch.cat([part.to(widest) for part, _ in done], position)
        return joined, [copies for _, copies in done]

    def _compute_segment(
        self, tensor: Tensor, position: int, segment: tuple[str, ...], map_of: _MapOf
    ) -> tuple[Tensor, "_Copies"]:
        part = split_dim(tensor, position, [self._source_sizes[axis] for axis in segment])
        copies: list[Selection | None] = []
        for offset, axis in enumerate(segment):
            left, linear_map = None, map_of(axis)
            if linear_map is not None:
                part, left = compute(part, linear_map, position + offset)
            copies.append(left)
        sizes = tuple(part.shape[position : position + len(segment)])
        return merge_dims(part, position, len(segment)), _Copies(sizes, tuple(copies))


@dataclass(frozen=True, slots=True)
class _Copies:
    """What is left to do for one segment of a dimension: its axes' present sizes, and the copies along each."""

    sizes: tuple[int, ...]
    copies: tuple[Selection | None, ...]

    def apply(self, tensor: Tensor, position: int) -> Tensor:
        part = split_dim(tensor, position, self.sizes)
        for offset, copies in enumerate(self.copies):
            if copies is not None:
                part = copy_units(part, copies, position + offset)
        return merge_dims(part, position, len(self.sizes))


def _copy_dim(tensor: Tensor, position: int, left: list[_Copies]) -> Tensor:
    if not any(copies for segment in left for copies in segment.copies):
        return tensor
    parts = torch.split(tensor, [prod(segment.sizes) for segment in left], position)
    grown = [segment.apply(part, position) for segment, part in zip(left, parts, strict=True)]
    return grown[0] if len(grown) == 1 else torch.cat(grown, position)


def _cast(tensor: Tensor, dtype: torch.dtype | None) -> Tensor:
    return tensor if dtype is None else tensor.to(dtype)


def _gain(axis_map: Callable[[str], AxisMap | None]) -> _MapOf:
    def of(axis: str) -> LinearMap | None:
        found = axis_map(axis)
        return None if found is None else found.gain

    return of


def mix_layers(depth: DepthMatrix, layer: int, fetch: Fetch) -> Tensor:
    """`sum_k depth[layer, k] W_k`, with one source tensor beside the sum in memory."""
    if isinstance(depth, DenseDepth):
        return reduce(torch.add, (depth.matrix[layer, k] * wide(fetch(k)) for k in range(depth.source_layers)))
    assert isinstance(depth, DepthMap)
    return reduce(
        torch.add, (fetch(k) if weight == 1.0 else weight * wide(fetch(k)) for k, weight in depth.rows[layer])
    )


def _silent(depth: DepthMatrix, layer: int) -> bool:
    return isinstance(depth, DepthMap) and not depth.rows[layer]


def _side(axis_map: Callable[[str], AxisMap | None], role: Role, dim: Dim) -> _MapOf:
    def of(axis: str) -> LinearMap | None:
        found = axis_map(axis)
        return None if found is None else found.named(map_name(role, dim.side))

    return of
