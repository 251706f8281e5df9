"""Pictures of operators: exact where a matrix is small, the extreme entry of each block where it is not."""

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from growth.operators.dense import DenseDepth, DenseMap, UpdatedMap, map_matrix
from growth.operators.maps import MEAN, ZERO, AxisMap, LinearMap, Selection
from growth.operators.operator import EVERY, DepthMap, GrowthOperator
from growth.operators.picture import CELLS, LEVELS, MAX_PICTURES, Picture, pictures


def shown(picture: Picture) -> Tensor:
    levels = torch.frombuffer(bytearray(picture.cells), dtype=torch.int8)
    return levels.reshape(picture.grid).double() * picture.peak / LEVELS


def picture_of(linear_map: LinearMap) -> Picture:
    new = (True,) * linear_map.target_size
    operator = GrowthOperator(axes={"hidden": AxisMap(linear_map, linear_map, linear_map, linear_map, new)}, depth={})
    (picture,), left_out = pictures(operator)
    assert left_out == 0
    assert picture.maps == ("expand", "contract", "seen", "gain")
    assert picture.shape == (linear_map.target_size, linear_map.source_size)
    return picture


def extremes(matrix: Tensor) -> Tensor:
    """By the definition, block by block."""
    rows, columns = (
        [range(n * i // c, n * (i + 1) // c) for i in range(c)] for n in matrix.shape for c in [min(n, CELLS)]
    )
    blocks = [[matrix[r.start : r.stop, c.start : c.stop].flatten() for c in columns] for r in rows]
    return torch.tensor([[float(block[block.abs().argmax()]) for block in row] for row in blocks])


def updated(target: int, source: int, rank: int | None) -> UpdatedMap:
    start = Selection.of([*range(source), *[ZERO] * (target - source)], source)
    rows = tuple(range(0, target, 2))
    up = torch.randn(len(rows), rank or source)
    return UpdatedMap(start, rows, up, None if rank is None else torch.randn(rank, source))


@pytest.mark.parametrize("sizes", [(6, 4), (300, 200), (130, 65)])
@pytest.mark.parametrize("kind", ["sparse", "dense", "updated", "factored"])
def test_a_cell_is_the_extreme_entry_of_its_block(kind: str, sizes: tuple[int, int]) -> None:
    torch.manual_seed(0)
    target, source = sizes
    made: dict[str, LinearMap] = {
        "sparse": Selection(
            (*range(source), *[MEAN] * (target - source)), (*[-0.5] * source, *[1.0] * (target - source)), source
        ),
        "dense": DenseMap(torch.randn(target, source)),
        "updated": updated(target, source, None),
        "factored": updated(target, source, 3),
    }
    picture = picture_of(made[kind])
    expected = extremes(map_matrix(made[kind]).double())
    assert picture.peak == pytest.approx(float(expected.abs().max()))
    torch.testing.assert_close(shown(picture), expected.double(), rtol=0, atol=picture.peak / LEVELS)


def test_maps_that_differ_have_pictures_of_their_own() -> None:
    same, other = DenseMap(torch.eye(4, 3)), DenseMap(torch.full((4, 3), -2.0))
    axis = AxisMap(same, other, same, same, new=(False,) * 4)
    depth = DepthMap.copies((0, 0, 1), 2)
    found, _ = pictures(GrowthOperator({"heads": axis}, {EVERY: depth}, next_depth=DenseDepth(torch.zeros(3, 2))))
    assert [(picture.part, picture.key, picture.maps) for picture in found] == [
        ("width", "heads", ("expand", "seen", "gain")),
        ("width", "heads", ("contract",)),
        ("depth", EVERY, ()),
        ("depth", "next_depth", ()),
    ]
    assert shown(found[2]).tolist() == [[1, 0], [1, 0], [0, 1]]
    assert found[3].peak == 0
    assert not shown(found[3]).any()


def test_no_more_than_a_page_of_them() -> None:
    matrix = DepthMap.copies((0, 1, 1), 2)
    operator = GrowthOperator({}, {f"layer.{{layer}}.{number}": matrix for number in range(MAX_PICTURES + 7)})
    found, left_out = pictures(operator)
    assert (len(found), left_out) == (MAX_PICTURES, 7)
    assert pictures(replace(operator, depth={EVERY: matrix}))[1] == 0
