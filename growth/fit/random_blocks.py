"""The parts of a residual that a fit multiplies by, each a run of rows that read the same columns."""

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True, slots=True)
class RandomBlock:
    """A part of a residual, as [out, in], that was drawn."""

    row: int
    column: int
    entries: Tensor
    """[rows, columns]"""


def random_blocks(residual: Tensor, drawn: Tensor) -> tuple[RandomBlock, ...]:
    """The blocks of `residual` [out, in], `drawn` telling which entries are random: one run of columns in each row.

    What the entries hold tells nothing of that: about one in 17 million normal numbers of float32 is zero.
    """
    first, size = drawn.int().argmax(1), drawn.sum(1)
    runs = torch.unique_consecutive(torch.stack([first, size], 1), dim=0, return_counts=True)
    blocks, row = [], 0
    for (column, columns), rows in zip(runs[0].tolist(), runs[1].tolist(), strict=True):
        if columns:
            blocks.append(RandomBlock(row, column, residual[row : row + rows, column : column + columns].clone()))
        row += rows
    return tuple(blocks)
