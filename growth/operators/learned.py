"""An operator whose width maps and depth matrices are parameters to fit."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace

import torch
from torch import Tensor

from growth.axes import Parameter
from growth.operators.dense import DenseDepth, DenseMap, depth_matrix, map_matrix
from growth.operators.maps import MAP_NAMES, AxisMap, LinearMap, MapName, map_name
from growth.operators.operator import GrowthOperator

LEARNED_AXES = ("hidden", "heads", "kv_heads", "intermediate")
"""Maps on attention axes act on whole heads, so that rotary pairs stay pairs."""


class LearnedOperator:
    """The factors of an operator as tensors: `axes/<axis>/<map>` [T, S] and `depth/<parameter>` [L_T, L_S].

    Source: LiGO (arXiv 2303.00980), section 3.2. Width maps are shared by all layers, with depth mixed first; every
    parameter of a block has a depth matrix of its own, weights and biases apart (as the authors' code has it).
    """

    def __init__(
        self,
        start: GrowthOperator,
        table: Iterable[Parameter],
        *,
        device: str = "cpu",
        dtype: torch.dtype = torch.float32,
    ) -> None:
        self._start = start
        rows = tuple(table)
        factors = {**_width_factors(start, rows), **_depth_factors(start, rows)}
        self._factors = {
            name: tensor.detach().clone().to(device, dtype).requires_grad_() for name, tensor in factors.items()
        }

    @property
    def factors(self) -> Mapping[str, Tensor]:
        """The learned tensors by name."""
        return self._factors

    def group(self, kind: str) -> list[Tensor]:
        """The factors of one kind, `axes` or `depth`."""
        return [tensor for name, tensor in self._factors.items() if name.startswith(f"{kind}/")]

    def load(self, factors: Mapping[str, Tensor]) -> None:
        """Take the values of `factors`, which must have the same names and shapes."""
        assert set(factors) == set(self._factors)
        with torch.no_grad():
            for name, tensor in factors.items():
                self._factors[name].copy_(tensor)

    def operator(self) -> GrowthOperator:
        """The operator through which gradients reach the factors."""
        return self._with(lambda tensor: tensor)

    def frozen(self) -> GrowthOperator:
        """The operator at the factors' present values, on the CPU."""
        return self._with(lambda tensor: tensor.detach().cpu().clone())

    def _with(self, view: Callable[[Tensor], Tensor]) -> GrowthOperator:
        axes = {axis: self._axis_map(axis, axis_map, view) for axis, axis_map in self._start.axes.items()}
        depth = {**self._start.depth}
        for name, tensor in self._factors.items():
            if name.startswith("depth/"):
                depth[name.removeprefix("depth/")] = DenseDepth(view(tensor))
        return replace(self._start, axes=axes, depth=depth)

    def _axis_map(self, axis: str, axis_map: AxisMap, view: Callable[[Tensor], Tensor]) -> AxisMap:
        def learned(name: MapName) -> LinearMap:
            factor = self._factors.get(f"axes/{axis}/{name}")
            return axis_map.named(name) if factor is None else DenseMap(view(factor))

        return replace(
            axis_map,
            expand=learned("expand"),
            contract=learned("contract"),
            seen=learned("seen"),
            gain=learned("gain"),
        )


def _width_factors(start: GrowthOperator, rows: tuple[Parameter, ...]) -> dict[str, Tensor]:
    """The maps that some tensor grows by: no gradient reaches another, say `contract` of an axis that nothing reads."""
    used = {(axis, map_name(row.role, dim.side)) for row in rows for dim in row.dims for axis in dim.axes}
    return {
        f"axes/{axis}/{name}": map_matrix(start.axes[axis].named(name))
        for axis in LEARNED_AXES
        for name in MAP_NAMES
        if axis in start.axes and (axis, name) in used
    }


def _depth_factors(start: GrowthOperator, rows: tuple[Parameter, ...]) -> dict[str, Tensor]:
    layered = [row for row in rows if row.layered]
    matrices = {f"depth/{row.name}": depth_matrix(start.depth_matrix(row)) for row in layered}
    return {name: matrix for name, matrix in matrices.items() if matrix.shape[0] > matrix.shape[1]}
