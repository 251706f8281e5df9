"""An operator whose width maps and depth matrices are parameters to fit."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from functools import reduce

import torch
from torch import Tensor

from growth.axes import LAYER, SEPARATOR, Parameter, Role
from growth.operators.dense import DenseDepth, UpdatedMap, depth_matrix, map_matrix
from growth.operators.maps import MAP_NAMES, AxisMap, MapName, Selection, kronecker, map_name
from growth.operators.operator import GrowthOperator
from growth.operators.structure import Structure
from growth.residual import drawn_tensor

LEARNED_AXES = ("hidden", "heads", "kv_heads", "intermediate")
"""Maps on attention axes act on whole heads, so that rotary pairs stay pairs."""
HEAD_AXES = ("heads", "kv_heads")


@dataclass(frozen=True, slots=True)
class _Learned:
    """One map of one key: `axes[key].<name>`, and the factors that move it."""

    key: str
    name: MapName
    factor: str
    """Name of the factors without their ending: `<factor>.up` and, with a rank, `<factor>.down`."""
    column_scale: Tensor | None = None
    """[S], on the update; None is one throughout."""


class LearnedOperator:
    """The factors of an operator as tensors: `axes/<key>/<map>.up` and `.down`, and `depth/<parameter>` [L_T, L_S].

    A width map is its closed form plus an update of the new rows (`UpdatedMap`), as in the authors' [I; S]. Every
    parameter of a block has a depth matrix of its own, weights and biases apart; depth is mixed first.
    """

    def __init__(
        self,
        start: GrowthOperator,
        table: Iterable[Parameter],
        sizes: Mapping[str, int],
        structure: Structure | None = None,
        *,
        seed: int = 0,
        device: str = "cpu",
        dtype: torch.dtype = torch.float32,
    ) -> None:
        """`table` holds the rows that the model has, `sizes` the source's axis sizes.

        `seed` draws the right factors of updates of low rank; all others start at zero.
        """
        rows, structure = tuple(table), structure or Structure()
        keys = _Keys(start, rows, structure, sizes)
        self._start, self._rank = start, structure.rank
        self._axes, self._maps = keys.axes(), keys.maps()
        self._factors = {
            name: tensor.detach().clone().to(device, dtype).requires_grad_()
            for name, tensor in {**self._width_factors(seed), **_depth_factors(start, rows)}.items()
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
        axes = dict(self._axes)
        for learned in self._maps:
            axes[learned.key] = axes[learned.key].having(learned.name, self._updated(learned, view))
        depth = {**self._start.depth}
        for name, tensor in self._factors.items():
            if name.startswith("depth/"):
                depth[name.removeprefix("depth/")] = DenseDepth(view(tensor))
        return replace(self._start, axes=axes, depth=depth)

    def _updated(self, learned: _Learned, view: Callable[[Tensor], Tensor]) -> UpdatedMap:
        start = _selection(self._axes[learned.key], learned.name)
        up, down = self._factors[f"{learned.factor}.up"], self._factors.get(f"{learned.factor}.down")
        if learned.column_scale is not None:
            scale = learned.column_scale.to(up.device, up.dtype)
            up, down = (up * scale, None) if down is None else (up, down * scale)
        return UpdatedMap(start, self._rows(learned), view(up), None if down is None else view(down))

    def _rows(self, learned: _Learned) -> tuple[int, ...]:
        return tuple(row for row, new in enumerate(self._axes[learned.key].new) if new)

    def _low_rank(self, learned: _Learned) -> bool:
        """Whether the map is one that the rank is for, and its factors are fewer numbers than the rows."""
        if self._rank is None or learned.key.partition("@")[0] != "intermediate":
            return False
        rows, size = len(self._rows(learned)), self._axes[learned.key].source_size
        return self._rank * (rows + size) < rows * size

    def _width_factors(self, seed: int) -> dict[str, Tensor]:
        factors: dict[str, Tensor] = {}
        for learned in self._maps:
            size, rows = self._axes[learned.key].source_size, len(self._rows(learned))
            if not self._low_rank(learned):
                factors[f"{learned.factor}.up"] = torch.zeros(rows, size)
                continue
            assert self._rank is not None
            # AdamW moves every entry of `up` by the rate; at this size that goes as far along the map's own gradient.
            spread = size**0.5 / self._rank
            down = drawn_tensor(seed, f"{learned.factor}.down", (self._rank, size)).double() * spread
            factors |= {f"{learned.factor}.up": torch.zeros(rows, self._rank), f"{learned.factor}.down": down}
        return factors


@dataclass(frozen=True, slots=True)
class _Use:
    """One row of the table that grows by one map: which axis or product of axes, in which layer, by which map."""

    row: Parameter
    label: str
    layer: int | None
    name: MapName

    @property
    def key(self) -> str:
        """The key of its map where every module has its own."""
        return f"{self.label}@{self.row.name.rpartition('.')[0].replace(LAYER, str(self.layer))}"


class _Keys:
    """Which maps there are to learn, for one start, one table and one structure."""

    def __init__(
        self, start: GrowthOperator, rows: tuple[Parameter, ...], structure: Structure, sizes: Mapping[str, int]
    ) -> None:
        self._start, self._structure, self._sizes = start, structure, sizes
        self._products: dict[str, AxisMap] = {}
        self._uses = [use for row in rows for layer in self._layers(row) for use in self._uses_of(row, layer)]

    def axes(self) -> dict[str, AxisMap]:
        """The closed form's maps, written out for every key that learns by itself."""
        own = {self._key(use): self._whole(use.label) for use in self._uses}
        return {**self._start.axes, **own}

    def maps(self) -> tuple[_Learned, ...]:
        """The maps that some tensor grows by: no gradient reaches another, say `contract` of what nothing reads."""
        found: dict[tuple[str, MapName], _Learned] = {}
        producers: dict[object, str] = {}
        for use in self._uses:
            key, units = self._key(use), self._units(use)
            if use.name == "expand" and use.row.role is not Role.BIAS:
                producers[units] = key
            found[key, use.name] = self._learned(key, use.name, producers.get(units, key))
        return tuple(found.values())

    def _units(self, use: _Use) -> object:
        """Equal for a reader and what produces its units: attention reads values, where there are as many heads."""
        axis, whole = use.label.partition(SEPARATOR)[0], self._whole(use.label)
        return HEAD_AXES if axis in HEAD_AXES else axis, whole.source_size, whole.new, use.layer

    def _learned(self, key: str, name: MapName, producer: str) -> _Learned:
        if name != "contract" or self._structure.tie == "untied":
            return _Learned(key, name, f"axes/{key}/{name}")
        scale = None
        if self._structure.tie == "normalised":
            expand = map_matrix(self._whole(key.partition("@")[0]).expand)
            scale = 1.0 / expand.square().sum(0)
        return _Learned(key, name, f"axes/{producer}/expand", scale)

    def _key(self, use: _Use) -> str:
        own = self._structure.share == "layer" and use.layer is not None and use.label != "hidden"
        return use.key if own else use.label

    def _layers(self, row: Parameter) -> Iterable[int | None]:
        if not row.layered or self._structure.share == "model":
            return (None,)
        return range(self._start.depth_matrix(row).target_layers)

    def _uses_of(self, row: Parameter, layer: int | None) -> Iterable[_Use]:
        for dim in row.dims:
            for segment in dim.segments:
                for label in self._labels(segment):
                    yield _Use(row, label, layer, map_name(row.role, dim.side))

    def _labels(self, segment: tuple[str, ...]) -> tuple[str, ...]:
        growing = tuple(axis for axis in segment if axis in LEARNED_AXES and axis in self._start.axes)
        dense = self._structure.attention == "dense" and any(axis in HEAD_AXES for axis in growing)
        return (SEPARATOR.join(segment),) if dense else growing

    def _whole(self, label: str) -> AxisMap:
        """The closed form's map of an axis or of a product of axes."""
        if label in self._start.axes:
            return self._start.axes[label]
        if label not in self._products:
            self._products[label] = self._product(label)
        return self._products[label]

    def _product(self, label: str) -> AxisMap:
        parts = [self._start.axes.get(axis) or _unchanged(self._sizes[axis]) for axis in label.split(SEPARATOR)]
        expand, contract, seen, gain = (
            reduce(kronecker, (_selection(part, name) for part in parts)) for name in MAP_NAMES
        )
        new = reduce(lambda outer, inner: tuple(a or b for a in outer for b in inner), (part.new for part in parts))
        return AxisMap(expand, contract, seen, gain, new, _gain_fill(parts))


def _unchanged(size: int) -> AxisMap:
    same = Selection.of(range(size), size)
    return AxisMap.plain(same, same, [False] * size)


def _gain_fill(parts: Iterable[AxisMap]) -> tuple[float, ...]:
    """Of a product of axes: a unit is filled where it is on either."""
    fills = [part.gain_fill or (0.0,) * part.target_size for part in parts]
    filled = reduce(lambda outer, inner: tuple(1 - (1 - a) * (1 - b) for a in outer for b in inner), fills)
    return filled if any(filled) else ()


def _selection(axis_map: AxisMap, name: MapName) -> Selection:
    selection = axis_map.named(name)
    assert isinstance(selection, Selection)
    return selection


def _depth_factors(start: GrowthOperator, rows: tuple[Parameter, ...]) -> dict[str, Tensor]:
    layered = [row for row in rows if row.layered]
    matrices = {f"depth/{row.name}": depth_matrix(start.depth_matrix(row)) for row in layered}
    return {name: matrix for name, matrix in matrices.items() if matrix.shape[0] > matrix.shape[1]}
