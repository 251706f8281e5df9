"""Dense maps over an axis or over layers: what a fit learns, and what a closed-form map is as a matrix."""

from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Tensor, nn

from growth.operators.maps import MEAN, ZERO, LinearMap, Selection
from growth.operators.operator import DepthMap, DepthMatrix


@dataclass(frozen=True, slots=True)
class DenseMap:
    """A T x S matrix over one axis."""

    matrix: Tensor

    @property
    def source_size(self) -> int:
        return self.matrix.shape[1]

    @property
    def target_size(self) -> int:
        return self.matrix.shape[0]


@dataclass(frozen=True, slots=True)
class UpdatedMap:
    """The matrix [T, S] of `start` with `up @ down` added to its rows `rows`; where `down` is None, with `up` itself.

    Source: LiGO (arXiv 2303.00980), whose authors' code learns the rows S of [I; S] and no others.
    """

    start: Selection
    rows: tuple[int, ...]
    up: Tensor
    """[rows, S], or [rows, rank] where there is a `down`."""
    down: Tensor | None = None
    """[rank, S]"""

    def __post_init__(self) -> None:
        assert len(self.up) == len(self.rows)
        assert (self.up if self.down is None else self.down).shape[1] == self.source_size

    @property
    def source_size(self) -> int:
        return self.start.source_size

    @property
    def target_size(self) -> int:
        return self.start.target_size

    @property
    def matrix(self) -> Tensor:
        """The map as one matrix [T, S]."""
        update = self.up if self.down is None else self.up @ self.down
        matrix = map_matrix(self.start).to(update.device, update.dtype)
        return matrix.index_add(0, torch.tensor(self.rows, device=update.device), update)

    def update(self, units: Tensor) -> Tensor:
        """What is added to the rows `rows`, for `units` [..., S] as columns: [..., rows]."""
        inner = units if self.down is None else nn.functional.linear(units, self.down.to(units))
        return nn.functional.linear(inner, self.up.to(inner))

    @property
    def appends(self) -> bool:
        """Whether the source's units keep their places, and the update alone makes those after them."""
        return _appends(self.start, self.rows)


@lru_cache(maxsize=256)
def _appends(start: Selection, rows: tuple[int, ...]) -> bool:
    kept, rest = start.index[: start.source_size], start.index[start.source_size :]
    in_place = kept == tuple(range(start.source_size)) and set(start.weight[: start.source_size]) == {1.0}
    return in_place and set(rest) <= {ZERO} and rows == tuple(range(start.source_size, start.target_size))


@dataclass(frozen=True, slots=True)
class DenseDepth:
    """A matrix [target layers, source layers]."""

    matrix: Tensor

    @property
    def source_layers(self) -> int:
        return self.matrix.shape[1]

    @property
    def target_layers(self) -> int:
        return self.matrix.shape[0]


def map_matrix(linear_map: LinearMap) -> Tensor:
    """The map as a matrix [T, S], in float64 where it is not dense already."""
    if isinstance(linear_map, DenseMap | UpdatedMap):
        return linear_map.matrix
    assert isinstance(linear_map, Selection)
    matrix = torch.zeros(linear_map.target_size, linear_map.source_size, dtype=torch.float64)
    for row, (unit, weight) in enumerate(zip(linear_map.index, linear_map.weight, strict=True)):
        if unit == MEAN:
            matrix[row] = weight / linear_map.source_size
        elif unit != ZERO:
            matrix[row, unit] = weight
    return matrix


def depth_matrix(depth: DepthMatrix) -> Tensor:
    """The depth matrix [target layers, source layers], in float64 where it is not dense already."""
    if isinstance(depth, DenseDepth):
        return depth.matrix
    assert isinstance(depth, DepthMap)
    matrix = torch.zeros(depth.target_layers, depth.source_layers, dtype=torch.float64)
    for row, mixed in enumerate(depth.rows):
        for source, weight in mixed:
            matrix[row, source] += weight
    return matrix
