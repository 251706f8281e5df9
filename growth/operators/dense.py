"""Dense maps over an axis or over layers: what a fit learns, and what a closed-form map is as a matrix."""

from dataclasses import dataclass

import torch
from torch import Tensor

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
    if isinstance(linear_map, DenseMap):
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
