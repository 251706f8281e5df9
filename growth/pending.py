"""A tensor whose arithmetic is done at the source's size: a factor and copies of whole units are left.

They are applied block by block of rows, so that the memory is a block's, not the target tensor's, and a block is still
in the processor's cache when it is written.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from math import prod

import torch
from torch import Tensor

from growth.contraction import copy_units, merge_dims, split_dim, wide
from growth.operators.maps import Selection


@dataclass(frozen=True, slots=True)
class Copies:
    """What is left to do for one segment of a dimension: its axes' present sizes, and the copies along each."""

    sizes: tuple[int, ...]
    along: tuple[Selection | None, ...]

    def apply(self, tensor: Tensor, position: int) -> Tensor:
        """The copies made along dimension `position` of `tensor`."""
        part = split_dim(tensor, position, self.sizes)
        for offset, copies in enumerate(self.along):
            if copies is not None:
                part = copy_units(part, copies, position + offset)
        return merge_dims(part, position, len(self.sizes))


@dataclass(frozen=True)
class Pending:
    """`tensor` times `scale`, its units copied along each dimension as `left` says."""

    tensor: Tensor
    scale: float
    left: Sequence[Sequence[Copies]]
    """For each dimension the copies in each of its segments; empty where none are left."""

    def rows(self, start: int, stop: int, dtype: torch.dtype | None) -> Tensor:
        """The rows from `start` to before `stop`, cast to `dtype` once; None leaves them as they are."""
        block = cast(self._scaled(self._picked(start, stop), dtype), dtype)
        for position in reversed(range(1, len(self.left))):
            block = copy_dim(block, position, self.left[position])
        return block

    def _scaled(self, block: Tensor, dtype: torch.dtype | None) -> Tensor:
        if self.scale == 1.0:
            return block
        # A product with a number is computed in float32 and rounded once: no wider copy is needed.
        return (block if block.dtype is dtype else wide(block)) * self.scale

    def _picked(self, start: int, stop: int) -> Tensor:
        index = self._source_rows
        if index is None:
            return self.tensor.narrow(0, start, stop - start)
        picked = index[start:stop]
        first, length = int(picked[0]), stop - start
        if first >= 0 and torch.equal(picked, torch.arange(first, first + length)):
            return self.tensor.narrow(0, first, length)
        rows = self.tensor.index_select(0, picked.clamp(min=0).to(self.tensor.device))
        silent = (picked < 0).nonzero().flatten()
        return rows.index_fill(0, silent.to(rows.device), 0) if len(silent) else rows

    @cached_property
    def _source_rows(self) -> Tensor | None:
        """The row of `tensor` behind each row, -1 for zeros; None where every row stays in its place."""
        if not _copying(self.left[0]):
            return None
        return copy_dim(torch.arange(1, len(self.tensor) + 1), 0, self.left[0]) - 1


def cast(tensor: Tensor, dtype: torch.dtype | None) -> Tensor:
    """`tensor` in `dtype`; None leaves it as it is."""
    return tensor if dtype is None else tensor.to(dtype)


def copy_dim(tensor: Tensor, position: int, left: Sequence[Copies]) -> Tensor:
    """The copies of each segment made along dimension `position`."""
    if not _copying(left):
        return tensor
    parts = torch.split(tensor, [prod(segment.sizes) for segment in left], position)
    grown = [segment.apply(part, position) for segment, part in zip(left, parts, strict=True)]
    return grown[0] if len(grown) == 1 else torch.cat(grown, position)


def _copying(left: Sequence[Copies]) -> bool:
    return any(copies for segment in left for copies in segment.along)
