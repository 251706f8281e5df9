"""Linear maps from a source axis to a larger target axis: mostly one source unit, or none, behind each target unit."""

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from math import sqrt
from typing import Any, Literal, Protocol, get_args

from growth.axes import Role, Side

ZERO = -1
"""Index of a target unit that takes nothing from the source."""
MEAN = -2
"""Index of a target unit that takes the mean over all source units."""

MapName = Literal["expand", "contract", "seen", "gain"]
MAP_NAMES: tuple[MapName, ...] = get_args(MapName)


class LinearMap(Protocol):
    """A T x S matrix over one axis: a `Selection`, or a dense one that a fit has learned."""

    @property
    def source_size(self) -> int: ...
    @property
    def target_size(self) -> int: ...


@dataclass(frozen=True, slots=True)
class Selection:
    """A T x S matrix whose row t is `weight[t]` times the unit row of source unit `index[t]` (or ZERO, or MEAN)."""

    index: tuple[int, ...]
    weight: tuple[float, ...]
    source_size: int

    def __post_init__(self) -> None:
        assert len(self.index) == len(self.weight)
        assert all(MEAN <= i < self.source_size for i in self.index)

    @classmethod
    def of(cls, index: Iterable[int], source_size: int, weight: float | Sequence[float] = 1.0) -> "Selection":
        """The selection of `index`, every row weighted by `weight`."""
        rows = tuple(index)
        weights = (weight,) * len(rows) if isinstance(weight, float) else tuple(weight)
        return cls(rows, weights, source_size)

    @property
    def target_size(self) -> int:
        return len(self.index)

    @property
    def is_identity(self) -> bool:
        return self.index == tuple(range(self.source_size)) and set(self.weight) <= {1.0}

    def counts(self) -> list[int]:
        """How many target units copy each source unit."""
        copies = Counter(self.index)
        return [copies[unit] for unit in range(self.source_size)]

    def scaled(self, factor: float) -> "Selection":
        """This matrix times `factor`."""
        return Selection(self.index, tuple(w * factor for w in self.weight), self.source_size)

    def rms_weight(self) -> float:
        """Root mean square of the rows' weights: by how much the map scales a tensor of independent entries."""
        rows = [w for i, w in zip(self.index, self.weight, strict=True) if i != ZERO]
        return sqrt(sum(w * w for w in rows) / len(rows)) if rows else 0.0


@dataclass(frozen=True, slots=True)
class AxisMap:
    """How one axis grows, by what a tensor does with it. Every map is T x S."""

    expand: LinearMap
    """Where a tensor produces the axis."""
    contract: LinearMap
    """Where a tensor reads the axis."""
    seen: LinearMap
    """The units as readers see them, after the norm if there is one; a norm's bias grows by it."""
    gain: LinearMap
    """A norm's gain, with what makes up for the new units in its variance."""
    new: tuple[bool, ...]
    """Target units that are not a source unit in its own place."""
    gain_fill: tuple[float, ...] = ()
    """Added to the grown gain, unit by unit; empty is nothing."""

    @classmethod
    def plain(cls, expand: Selection, contract: Selection, new: Sequence[bool]) -> "AxisMap":
        """The map of an axis without compensation: norms over it copy their gain."""
        return cls(expand, contract, expand, expand, tuple(new))

    def named(self, name: MapName) -> LinearMap:
        """The map called `name`."""
        linear_map: LinearMap = getattr(self, name)
        return linear_map

    def having(self, name: MapName, linear_map: LinearMap) -> "AxisMap":
        """This one with another map under `name`."""
        changed: dict[str, Any] = {name: linear_map}
        return replace(self, **changed)

    @property
    def source_size(self) -> int:
        return self.expand.source_size

    @property
    def target_size(self) -> int:
        return self.expand.target_size


def map_name(role: Role, side: Side) -> MapName:
    """Which map of an axis grows a dimension that meets the axis on `side`, in a tensor with `role`."""
    if role is Role.NORM_GAIN:
        return "gain"
    if role is Role.NORM_BIAS:
        return "seen"
    return "expand" if side is Side.OUT else "contract"


def even_split(index: Sequence[int], source_size: int) -> Selection:
    """The contract map of copies `index`: each source unit is divided evenly over its copies, so C.T @ E = I."""
    counts = Counter(index)
    return Selection.of(index, source_size, [1 / counts[i] for i in index])


def weighted_split(index: Sequence[int], source_size: int, draw: Callable[[], float]) -> Selection:
    """The contract map of copies `index` with positive weights from `draw` that sum to 1 over each unit's copies.

    Source: LEMON (arXiv 2310.07999), section 4: unequal weights break the symmetry of the copies.
    """
    raw = [draw() for _ in index]
    totals: Counter[int] = Counter()
    for unit, weight in zip(index, raw, strict=True):
        totals[unit] += weight  # type: ignore[assignment]
    return Selection.of(index, source_size, [w / totals[i] for i, w in zip(index, raw, strict=True)])


def kronecker(outer: Selection, inner: Selection) -> Selection:
    """The map of a product of two axes, of which neither has a MEAN."""
    assert MEAN not in outer.index + inner.index
    pairs = [
        (o, i) for o in zip(outer.index, outer.weight, strict=True) for i in zip(inner.index, inner.weight, strict=True)
    ]
    index = [ZERO if ZERO in (a, b) else a * inner.source_size + b for (a, _), (b, _) in pairs]
    return Selection.of(index, outer.source_size * inner.source_size, [v * w for (_, v), (_, w) in pairs])


def first_seen(index: Sequence[int]) -> tuple[bool, ...]:
    """For each target unit whether it is new: it takes nothing, or an earlier unit copies the same source unit."""
    known: set[int] = {ZERO, MEAN}
    new = []
    for unit in index:
        new.append(unit in known)
        known.add(unit)
    return tuple(new)
