"""Where a residual is not zero, also where some of the numbers that were drawn for it are."""

import pytest
import torch
from torch import Tensor

from growth.fit.blocks import blocks_of, columns_apart


def grouped() -> Tensor:
    """Rows 3 to 8 read the first columns, 9 and 10 the rest; rows 12 and 13 the first again."""
    matrix = torch.zeros(15, 10)
    matrix[3:9, :6], matrix[9:11, 6:], matrix[12:14, :6] = 1.0, 2.0, 3.0
    return matrix * torch.rand(15, 10, generator=torch.Generator().manual_seed(0)).clamp(min=0.1)


ZEROS = {
    "none": [],
    "inside": [(4, 2)],
    "first of a row": [(3, 0), (9, 6)],
    "last of a row": [(5, 5), (10, 9)],
    "both ends": [(12, 0), (12, 5)],
    "a whole row": [(6, column) for column in range(6)],
    "an end of every row": [(row, 5) for row in (3, 4, 5, 6, 7, 8, 12, 13)],
    "an end of a whole group": [(9, 6), (10, 6)],
}


@pytest.mark.parametrize("zeros", ZEROS)
def test_blocks_are_the_matrix(zeros: str) -> None:
    matrix = grouped()
    for row, column in ZEROS[zeros]:
        matrix[row, column] = 0.0
    blocks = blocks_of(matrix)
    units = torch.rand(4, 10, generator=torch.Generator().manual_seed(1))
    found, read = torch.zeros(4, 15), columns_apart(units, blocks)
    for block in blocks:
        found[:, block.row : block.row + len(block.entries)] += read[block.column] @ block.entries.T
    torch.testing.assert_close(found, units @ matrix.T)
    assert sum(block.entries.numel() for block in blocks) <= 6 * 6 + 2 * 4 + 2 * 6


def test_a_matrix_of_zeros_has_no_blocks() -> None:
    assert blocks_of(None) == blocks_of(torch.zeros(3, 4)) == ()
