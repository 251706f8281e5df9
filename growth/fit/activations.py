"""A grown dimension on the side of activations: what a layer computes at the source's size, taken to the target's.

`y = E (W (C.T x))` [LiGO, arXiv 2303.00980, eq. 4]: a grown weight need not be written out where its maps are applied
to what goes in and what comes out of the source's.
"""

from collections.abc import Callable, Mapping, Sequence
from math import prod

import torch
from torch import Tensor

from growth.apply import MapOf, segment_maps
from growth.axes import Dim
from growth.contraction import apply_map, apply_transposed, merge_dims, split_dim
from growth.operators.dense import DenseMap, UpdatedMap
from growth.operators.maps import LinearMap

Apply = Callable[[Tensor, LinearMap, int], Tensor]


class GrownDim:
    """One dimension of one tensor under the maps of one operator."""

    def __init__(self, dim: Dim, map_of: MapOf, source: Mapping[str, int], target: Mapping[str, int]) -> None:
        """`source` and `target` are axis sizes."""
        self._segments = [segment_maps(segment, source, map_of) for segment in dim.segments]
        self._source_sizes = dim.segment_sizes(source)
        self._target_sizes = dim.segment_sizes(target)

    @property
    def grows(self) -> bool:
        """Whether any map acts along the dimension."""
        return any(linear_map for segment in self._segments for _, linear_map in segment)

    @property
    def identity(self) -> tuple[int, ...]:
        """Equal for two dimensions that grow by the very same maps."""
        return tuple(id(linear_map) for segment in self._segments for _, linear_map in segment)

    def expanded(self, units: Tensor, added: Sequence[tuple[int, Tensor]] = ()) -> Tensor:
        """From units of the source [n, S] to units of the target [n, T].

        `added` is what is added to some of the latter [n, rows], each time with the first of them, in their order.
        """
        appending = self._appending()
        if appending is not None and added and _covers(added, appending):
            fresh = torch.cat([tensor for _, tensor in added], 1) if len(added) > 1 else added[0][1]
            return torch.cat([units, fresh + appending.update(units)], 1)
        grown = self._applied(units, self._source_sizes, apply_map, transposed=False)
        return _sum_at(grown, added) if added else grown

    def contracted(self, units: Tensor) -> Tensor:
        """From units of the target [n, T] to what a reader of the source's units takes [n, S]: the transposed maps."""
        return self._applied(units, self._target_sizes, apply_transposed, transposed=True)

    def multiplications(self) -> int:
        """Multiply-adds of taking one vector from either size to the other."""
        return sum(map(_segment_cost, self._segments))

    def _appending(self) -> UpdatedMap | None:
        """The only map of the dimension, where it keeps what there is and appends what it has learned."""
        if len(self._segments) == 1 and len(self._segments[0]) == 1:
            linear_map = self._segments[0][0][1]
            return linear_map if isinstance(linear_map, UpdatedMap) and linear_map.appends else None
        return None

    def _applied(self, units: Tensor, sizes: Sequence[int], apply: Apply, *, transposed: bool) -> Tensor:
        if not self.grows:
            return units
        parts = torch.split(units, list(sizes), 1) if len(sizes) > 1 else (units,)
        done = [self._segment(p, s, apply, transposed) for p, s in zip(parts, self._segments, strict=True)]
        return done[0] if len(done) == 1 else torch.cat(done, 1)

    @staticmethod
    def _segment(part: Tensor, segment: list[tuple[int, LinearMap | None]], apply: Apply, transposed: bool) -> Tensor:
        if len(segment) == 1:
            linear_map = segment[0][1]
            return part if linear_map is None else apply(part, linear_map, 1)
        along = [_size(entry, transposed) for entry in segment]
        part = split_dim(part, 1, along)
        for position, (_, linear_map) in enumerate(segment, start=1):
            part = part if linear_map is None else apply(part, linear_map, position)
        return merge_dims(part, 1, len(segment))


def _covers(added: Sequence[tuple[int, Tensor]], appending: UpdatedMap) -> bool:
    """Whether something is added to all appended units, and to no other."""
    return added[0][0] == appending.source_size and sum(tensor.shape[1] for _, tensor in added) == len(appending.rows)


def _sum_at(grown: Tensor, added: Sequence[tuple[int, Tensor]]) -> Tensor:
    if len(added) == 1 and added[0][1].shape == grown.shape:
        return grown + added[0][1]
    sizes, place = [], 0
    for first, tensor in added:
        sizes += [first - place, tensor.shape[1]]
        place = first + tensor.shape[1]
    parts = list(torch.split(grown, [*sizes, grown.shape[1] - place], 1))
    for number, (_, tensor) in enumerate(added):
        parts[2 * number + 1] = parts[2 * number + 1] + tensor
    return torch.cat(parts, 1)


def _size(entry: tuple[int, LinearMap | None], transposed: bool) -> int:
    size, linear_map = entry
    return linear_map.target_size if transposed and linear_map is not None else size


def _segment_cost(segment: list[tuple[int, LinearMap | None]]) -> int:
    sizes = [size for size, _ in segment]
    total = 0
    for place, (_, linear_map) in enumerate(segment):
        others = prod(sizes[:place]) * prod(sizes[place + 1 :])
        total += others * _map_cost(linear_map)
        sizes[place] = sizes[place] if linear_map is None else linear_map.target_size
    return total


def _map_cost(linear_map: LinearMap | None) -> int:
    if isinstance(linear_map, DenseMap):
        return linear_map.matrix.numel()
    if isinstance(linear_map, UpdatedMap):
        return linear_map.up.numel() + (0 if linear_map.down is None else linear_map.down.numel())
    return 0
