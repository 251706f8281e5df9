"""A residual in blocks, whatever numbers were drawn."""

import torch

from growth.fit.random_blocks import random_blocks


def test_a_number_that_is_zero_by_chance_does_not_cut_a_block() -> None:
    drawn = torch.zeros(6, 8, dtype=torch.bool)
    drawn[2:4, :4] = drawn[4:, 4:] = True
    residual = torch.randn(6, 8, generator=torch.Generator().manual_seed(0)) * drawn
    residual[2, 0] = residual[3, 2] = residual[5, 7] = 0.0

    blocks = random_blocks(residual, drawn)

    assert [(block.row, block.column) for block in blocks] == [(2, 0), (4, 4)]
    assert torch.equal(blocks[0].entries, residual[2:4, :4])
    assert torch.equal(blocks[1].entries, residual[4:, 4:])
