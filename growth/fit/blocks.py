"""The blocks of a matrix that are not zero: what a residual's rows read."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby, pairwise

import torch
from torch import Tensor

_Span = tuple[int, int]
"""From a column to before another."""


@dataclass(frozen=True, slots=True)
class Block:
    """A part of a matrix [out, in]; the columns of two of them are the same, or none in common."""

    row: int
    column: int
    entries: Tensor
    """[rows, columns]"""


def blocks_of(matrix: Tensor | None) -> tuple[Block, ...]:
    """The runs of rows that read the same columns; outside of them the matrix is zero."""
    if matrix is None:
        return ()
    spans = _row_spans(matrix)
    apart = _apart(span for span in spans if span is not None)
    blocks, row = [], 0
    for span, run in groupby(next((a for a in apart if span and a[0] <= span[0] < a[1]), None) for span in spans):
        rows = len(list(run))
        if span is not None:
            blocks.append(Block(row, span[0], matrix[row : row + rows, span[0] : span[1]].clone()))
        row += rows
    return tuple(blocks)


def columns_apart(units: Tensor, blocks: Sequence[Block]) -> dict[int, Tensor]:
    """What each of the blocks reads of `units` [n, in], by its first column."""
    sizes = {block.column: block.entries.shape[1] for block in blocks}
    cuts = sorted({0, units.shape[1], *sizes, *(column + size for column, size in sizes.items())})
    pieces = torch.split(units, [stop - start for start, stop in pairwise(cuts)], 1)
    return dict(zip(cuts, pieces, strict=False))


def _row_spans(matrix: Tensor) -> list[_Span | None]:
    """Of each row the first and the last entry that is not zero; a drawn number may be, even at either end."""
    met = (matrix != 0).int()
    first, last = met.argmax(1), met.shape[1] - met.flip(1).argmax(1)
    found = zip(met.any(1).tolist(), first.tolist(), last.tolist(), strict=True)
    return [(start, stop) if some else None for some, start, stop in found]


def _apart(spans: Iterable[_Span]) -> list[_Span]:
    """The spans, those joined that overlap."""
    apart: list[_Span] = []
    for start, stop in sorted(set(spans)):
        if apart and start < apart[-1][1]:
            apart[-1] = (apart[-1][0], max(apart[-1][1], stop))
        else:
            apart.append((start, stop))
    return apart
