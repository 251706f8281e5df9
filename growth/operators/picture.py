"""Small pictures of an operator: each of its matrices as at most 64 x 64 cells, however large it is.

A cell shows the entry of largest magnitude in its block, so that a single copy among a thousand zeros is still seen.
Matrices are written out one band of rows at a time.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import islice, pairwise
from typing import Literal

import torch
from torch import Tensor

from growth.operators.dense import DenseMap, UpdatedMap, depth_matrix, map_matrix
from growth.operators.maps import MAP_NAMES, AxisMap, LinearMap, Selection
from growth.operators.operator import GrowthOperator

CELLS = 64
MAX_PICTURES = 48
LEVELS = 127


@dataclass(frozen=True, slots=True)
class Picture:
    """One matrix, or several of one key that look the same."""

    part: Literal["width", "depth"]
    key: str
    """The axis, or the parameter whose layers are mixed, as an operator's file names it."""
    maps: tuple[str, ...]
    """Of an axis: which of its maps; of layers, none."""
    shape: tuple[int, int]
    """Of the matrix: target size, source size."""
    grid: tuple[int, int]
    """Rows and columns of cells."""
    peak: float
    """The largest magnitude in the matrix."""
    cells: bytes
    """Row by row a signed byte each, in units of `peak / 127`."""


def pictures(operator: GrowthOperator) -> tuple[list[Picture], int]:
    """At most 48 pictures, width before depth, and how many there are beyond them."""
    shown = list(islice(_all(operator), MAX_PICTURES))
    total = sum(1 for _ in operator.axes) + len(operator.depth) + (operator.next_depth is not None)
    keys = len({(picture.part, picture.key) for picture in shown})
    return shown, total - keys


def _all(operator: GrowthOperator) -> Iterator[Picture]:
    for key, axis_map in operator.axes.items():
        yield from _of_axis(key, axis_map)
    further = {} if operator.next_depth is None else {"next_depth": operator.next_depth}
    for key, depth in {**operator.depth, **further}.items():
        matrix = depth_matrix(depth)
        yield _picture("depth", key, (), DenseMap(matrix))


def _of_axis(key: str, axis_map: AxisMap) -> list[Picture]:
    found: dict[tuple[float, bytes], Picture] = {}
    for name in MAP_NAMES:
        picture = _picture("width", key, (name,), axis_map.named(name))
        same = found.get((picture.peak, picture.cells))
        found[picture.peak, picture.cells] = replace(same, maps=(*same.maps, name)) if same else picture
    return list(found.values())


def _picture(part: Literal["width", "depth"], key: str, maps: tuple[str, ...], linear_map: LinearMap) -> Picture:
    bands = [_band(_rows(linear_map, start, end)) for start, end in pairwise(_edges(linear_map.target_size))]
    extremes = torch.stack(bands)
    peak = float(extremes.abs().max())
    levels = (extremes * (LEVELS / peak)).round() if peak else extremes
    return Picture(
        part,
        key,
        maps,
        (linear_map.target_size, linear_map.source_size),
        (extremes.shape[0], extremes.shape[1]),
        peak,
        bytes(levels.to(torch.int8).view(torch.uint8).flatten().tolist()),
    )


def _edges(size: int) -> list[int]:
    """Where blocks of an axis begin and end."""
    blocks = min(size, CELLS)
    return [size * block // blocks for block in range(blocks + 1)]


def _band(rows: Tensor) -> Tensor:
    """The extreme entry of each block [cells] of a band of rows [n, S]."""
    edges = torch.tensor(_edges(rows.shape[1]))
    blocks = torch.repeat_interleave(edges.diff())
    empty = rows.new_empty(len(edges) - 1)
    high = empty.scatter_reduce(0, blocks, rows.amax(0), "amax", include_self=False)
    low = empty.scatter_reduce(0, blocks, rows.amin(0), "amin", include_self=False)
    return torch.where(high >= -low, high, low)


def _rows(linear_map: LinearMap, start: int, end: int) -> Tensor:
    """Rows of a map as a matrix [end - start, S] in float64, on the CPU."""
    return map_matrix(_cut(linear_map, start, end)).detach().to("cpu", torch.float64)


def _cut(linear_map: LinearMap, start: int, end: int) -> LinearMap:
    match linear_map:
        case DenseMap():
            return DenseMap(linear_map.matrix[start:end])
        case UpdatedMap():
            first = _selected(linear_map.start, start, end)
            places = [place for place, row in enumerate(linear_map.rows) if start <= row < end]
            rows = tuple(linear_map.rows[place] - start for place in places)
            return replace(linear_map, start=first, rows=rows, up=linear_map.up[places]) if rows else first
    assert isinstance(linear_map, Selection)
    return _selected(linear_map, start, end)


def _selected(selection: Selection, start: int, end: int) -> Selection:
    return Selection(selection.index[start:end], selection.weight[start:end], selection.source_size)
