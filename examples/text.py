"""Text as rows of tokens, the first of them held out, and the loss of a model on those."""

from pathlib import Path
from typing import Any

import torch
from torch import Tensor

LENGTH = 64
HELD_OUT_ROWS = 32


def token_rows(tokenizer: Any, path: Path) -> tuple[Tensor, Tensor]:
    """Token ids [rows, LENGTH] of a text file: those to train on, and those that no training sees."""
    lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
    ids = [token for line in tokenizer(lines, add_special_tokens=False)["input_ids"] for token in line]
    rows = torch.tensor(ids[: len(ids) // LENGTH * LENGTH]).view(-1, LENGTH)
    return rows[HELD_OUT_ROWS:], rows[:HELD_OUT_ROWS]


@torch.no_grad()
def held_out_loss(model: Any, rows: Tensor) -> float:
    """Mean loss per token in nats, without dropout."""
    return float(model.eval()(input_ids=rows, labels=rows).loss)
