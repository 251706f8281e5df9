"""Grow one tensor: mix its layers, contract it along its axes, compensate the norms, add the seeded residual.

The same code serves the streamed expansion and the fit, where the maps are learned and autograd runs through it.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import reduce
from math import prod, sqrt

import torch
from torch import Tensor

from growth.axes import SEPARATOR, Dim, Parameter, Role, axis_sizes
from growth.config import ModelConfig
from growth.contraction import Computed, compute, merge_dims, split_dim, wide
from growth.operators.dense import DenseDepth
from growth.operators.maps import AxisMap, LinearMap, Selection, map_name
from growth.operators.operator import DepthMap, DepthMatrix, GrowthOperator, NoiseKind
from growth.pending import Copies, Pending, cast
from growth.residual import Fetch, Residual, draw_residual, initial_rows, new_units, rows_per_block
from growth.threads import one_thread

Draw = Callable[[Parameter, int | None, Fetch], Residual | None]
"""The seeded residual of a target tensor, or None where it has none."""
MapOf = Callable[[str], LinearMap | None]
"""The map of an axis, or of a product of axes, for one side of one tensor; None where there is none."""
_Rows = Callable[[int, int], Tensor]


class Grower:
    """One operator between two models' sizes, applied tensor by tensor."""

    def __init__(
        self, operator: GrowthOperator, source: ModelConfig, target: ModelConfig, residual: Draw | None = None
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
        shape = parameter.shape(self._target_sizes)
        grown = self._rows(parameter, layer, fetch, dtype)(0, shape[0])
        assert tuple(grown.shape) == shape
        return grown

    def blocks(self, parameter: Parameter, layer: int | None, fetch: Fetch, dtype: torch.dtype) -> Iterator[Tensor]:
        """The rows of what `grow` gives, a few at a time and in order, each bit the same."""
        shape = parameter.shape(self._target_sizes)
        rows, step = self._rows(parameter, layer, fetch, dtype), rows_per_block(shape)
        for start in range(0, shape[0], step):
            with one_thread():
                block = rows(start, min(shape[0], start + step))
            yield block

    def _rows(self, parameter: Parameter, layer: int | None, fetch: Fetch, dtype: torch.dtype | None) -> _Rows:
        operator, shape = self._operator, parameter.shape(self._target_sizes)
        if operator.noise is not None and operator.noise.kind is NoiseKind.INITIAL:
            fresh = initial_rows(operator.noise, self._target, parameter, layer, shape)
            return lambda start, stop: cast(fresh.rows(start, stop), dtype)
        if layer is not None and _silent(operator.depth_matrix(parameter), layer):
            return lambda start, stop: torch.zeros((stop - start, *shape[1:]), dtype=dtype)
        fetch = self._with_absent(parameter, fetch)
        added = self._residual(parameter, layer, fetch)
        if added is None:
            return self._mixed_rows(parameter, layer, fetch, dtype)
        grown, scale = self._mixed_rows(parameter, layer, fetch, None), self.scale(parameter)
        return lambda start, stop: cast(_sum(grown(start, stop), added.rows(start, stop) * scale), dtype)

    def _with_absent(self, parameter: Parameter, fetch: Fetch) -> Fetch:
        if not parameter.absent_layers:
            return fetch
        initial = 1.0 - self._target.norm.gain_offset if parameter.role is Role.NORM_GAIN else 0.0
        absent = torch.full(parameter.shape(self._source_sizes), initial)
        return lambda layer: absent if layer in parameter.absent_layers else fetch(layer)

    def _draw(self, parameter: Parameter, layer: int | None, fetch: Fetch) -> Residual | None:
        return draw_residual(self._operator, parameter, layer, self._target_sizes, fetch)

    def _mixed_rows(self, parameter: Parameter, layer: int | None, fetch: Fetch, dtype: torch.dtype | None) -> _Rows:
        if layer is None:
            return self._dim_rows(parameter, layer, fetch(None), dtype)
        operator = self._operator
        grown = self._dim_rows(parameter, layer, mix_layers(operator.depth_matrix(parameter), layer, fetch), dtype)
        if operator.next_depth is None or parameter.role not in (Role.LINEAR, Role.BIAS):
            return grown
        new = new_units(lambda label: operator.axis_map(label, parameter, layer), parameter, self._target_sizes)
        if new is None:
            return grown
        following = self._dim_rows(parameter, layer, mix_layers(operator.next_depth, layer, fetch), dtype)

        def rows(start: int, stop: int) -> Tensor:
            old = grown(start, stop)
            met = new if len(new) == 1 else new[start:stop]
            return torch.where(met.to(old.device), following(start, stop), old)

        return rows

    def _dim_rows(self, parameter: Parameter, layer: int | None, tensor: Tensor, dtype: torch.dtype | None) -> _Rows:
        def axis_map(axis: str) -> AxisMap | None:
            return self._operator.axis_map(axis, parameter, layer)

        if parameter.role is Role.NORM_GAIN:
            gain = cast(self._grow_gain(parameter, axis_map, tensor), dtype)
            return lambda start, stop: gain[start:stop]
        left: list[tuple[Copies, ...]] = []
        scale = self.scale(parameter)
        for position, dim in enumerate(parameter.dims):
            computed = self._compute_dim(tensor, position, dim, side_maps(axis_map, parameter.role, dim))
            tensor, scale = computed.tensor, scale * computed.scale
            left.append(computed.copies)
        pending = Pending(tensor, scale, left)
        return lambda start, stop: pending.rows(start, stop, dtype)

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
        offset = self._target.norm.gain_offset
        grown = self._grow_stored_gain(parameter, axis_map, tensor)
        if offset:
            # Zero where gains are but copied: those keep every bit.
            ones = torch.ones_like(tensor, dtype=wide(tensor).dtype)
            grown = grown + offset * (self._grow_stored_gain(parameter, axis_map, ones) - 1.0)
        fill = torch.cat([self._gain_fill(segment, axis_map) for segment in dim.segments])
        return grown + fill.to(grown.device, grown.dtype) if fill.any() else grown

    def _gain_fill(self, segment: tuple[str, ...], axis_map: Callable[[str], AxisMap | None]) -> Tensor:
        """A unit of a product of axes is filled where it is on either, unless the product has maps of its own."""
        whole, sizes = axis_map(SEPARATOR.join(segment)), self._target_sizes
        if whole is not None:
            return _filled(whole, prod(sizes[axis] for axis in segment))
        return 1.0 - reduce(torch.kron, (1.0 - _filled(axis_map(axis), sizes[axis]) for axis in segment))

    def _grow_stored_gain(
        self, parameter: Parameter, axis_map: Callable[[str], AxisMap | None], tensor: Tensor
    ) -> Tensor:
        (dim,) = parameter.dims
        gains = self._compute_dim(wide(tensor), 0, dim, _gain(axis_map))
        pending = Pending(gains.tensor, gains.scale * self.scale(parameter), [gains.copies])
        return pending.rows(0, dim.size(self._target_sizes), None)

    def _compute_dim(self, tensor: Tensor, position: int, dim: Dim, map_of: MapOf) -> "_Computed":
        """What the maps of one dimension compute, and the copies left; segments grow by Kronecker products of maps."""
        # The source need not know the size of an axis that has no map: a dense model has no experts.
        if not any(map_of(label) for segment in dim.segments for label in (SEPARATOR.join(segment), *segment)):
            return _Computed(tensor, 1.0, ())
        parts = torch.split(tensor, dim.segment_sizes(self._source_sizes), position)
        done = [self._compute_segment(p, position, s, map_of) for p, s in zip(parts, dim.segments, strict=True)]
        scale = done[0].scale if len({part.scale for part in done}) == 1 else 1.0
        scaled = [part.tensor if part.scale == scale else wide(part.tensor) * part.scale for part in done]
        widest = reduce(torch.promote_types, (part.dtype for part in scaled))
        joined = scaled[0] if len(scaled) == 1 else torch.cat([part.to(widest) for part in scaled], position)
        return _Computed(joined, scale, tuple(copies for part in done for copies in part.copies))

    def _compute_segment(self, tensor: Tensor, position: int, segment: tuple[str, ...], map_of: MapOf) -> "_Computed":
        maps = self._maps(segment, map_of)
        part = split_dim(tensor, position, [size for size, _ in maps])
        along: list[Selection | None] = []
        scale = 1.0
        for offset, (_, linear_map) in enumerate(maps):
            computed = Computed(part) if linear_map is None else compute(part, linear_map, position + offset)
            part, scale = computed.tensor, scale * computed.scale
            along.append(computed.copies)
        sizes = tuple(part.shape[position : position + len(maps)])
        return _Computed(merge_dims(part, position, len(maps)), scale, (Copies(sizes, tuple(along)),))

    def _maps(self, segment: tuple[str, ...], map_of: MapOf) -> list[tuple[int, LinearMap | None]]:
        return segment_maps(segment, self._source_sizes, map_of)


@dataclass(frozen=True, slots=True)
class _Computed:
    """A tensor whose maps along one dimension have computed: a factor and the copies in each segment are left."""

    tensor: Tensor
    scale: float
    copies: tuple[Copies, ...]


def segment_maps(
    segment: tuple[str, ...], sizes: Mapping[str, int], map_of: MapOf
) -> list[tuple[int, LinearMap | None]]:
    """The sizes into which a segment of a dimension is split, and the map along each; `sizes` are those of the axes.

    A map of the whole segment, under the name `heads*head_dim` say, stands before those of its axes.
    """
    whole = map_of(SEPARATOR.join(segment))
    if whole is not None:
        return [(prod(sizes[axis] for axis in segment), whole)]
    return [(sizes[axis], map_of(axis)) for axis in segment]


def _filled(axis_map: AxisMap | None, size: int) -> Tensor:
    fill = axis_map.gain_fill if axis_map and axis_map.gain_fill else (0.0,) * size
    return torch.tensor(fill, dtype=torch.float64)


def _sum(grown: Tensor, added: Tensor) -> Tensor:
    total = wide(grown)
    return total + added.to(total.dtype)


def _gain(axis_map: Callable[[str], AxisMap | None]) -> MapOf:
    def of(axis: str) -> LinearMap | None:
        found = axis_map(axis)
        return None if found is None else found.gain

    return of


def mix_layers(depth: DepthMatrix, layer: int, fetch: Fetch) -> Tensor:
    """`sum_k depth[layer, k] W_k`, with one source tensor beside the sum in memory."""
    if isinstance(depth, DenseDepth):
        return reduce(
            torch.add,
            (depth.matrix[layer, k] * wide(fetch(k)).to(depth.matrix.device) for k in range(depth.source_layers)),
        )
    assert isinstance(depth, DepthMap)
    return reduce(
        torch.add, (fetch(k) if weight == 1.0 else weight * wide(fetch(k)) for k, weight in depth.rows[layer])
    )


def _silent(depth: DepthMatrix, layer: int) -> bool:
    return isinstance(depth, DepthMap) and not depth.rows[layer]


def side_maps(axis_map: Callable[[str], AxisMap | None], role: Role, dim: Dim) -> MapOf:
    """Of each axis the map by which a dimension of a tensor with `role` grows."""

    def of(axis: str) -> LinearMap | None:
        found = axis_map(axis)
        return None if found is None else found.named(map_name(role, dim.side))

    return of
