"""Real text for fits: the standard library's documentation of Python, in the tokens of a checkpoint's own tokenizer."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from pydoc_data.topics import topics

import torch
from torch import Tensor
from transformers import AutoTokenizer

from growth.fit import IGNORED_LABEL, Batch

HELD_OUT_ROWS = 6


def real_text(characters: int) -> str:
    """The first characters of Python's own manual, which never begins with the same words twice."""
    return "\n".join(topics[name] for name in sorted(topics))[:characters]


@cache
def token_rows(checkpoint: Path, length: int = 24, rows: int = 40) -> Tensor:
    """Packed token ids [rows, length] of real text."""
    tokenizer = AutoTokenizer.from_pretrained(checkpoint)
    ids = tokenizer(real_text(12 * length * rows), add_special_tokens=False)["input_ids"]
    assert len(ids) >= length * rows
    return torch.tensor(ids[: length * rows]).view(rows, length)


@dataclass(frozen=True)
class TextBatches:
    """Training and held-out batches of packed rows; `mask_id` makes them batches for a masked-LM model."""

    rows: Tensor
    mask_id: int | None = None
    size: int = 4

    def batch(self, step: int) -> Batch:
        trained = len(self.rows) - HELD_OUT_ROWS
        return self._batch(self.rows[[(step * self.size + row) % trained for row in range(self.size)]])

    def held_out(self) -> Sequence[Batch]:
        """Two batches, the last one smaller."""
        return [self._batch(rows) for rows in torch.split(self.rows[-HELD_OUT_ROWS:], self.size)]

    def _batch(self, rows: Tensor) -> Batch:
        if self.mask_id is None:
            return {"input_ids": rows, "labels": rows}
        told = (torch.arange(rows.shape[1]) + rows.sum(1, keepdim=True)) % 5 == 0
        return {
            "input_ids": torch.where(told, self.mask_id, rows),
            "labels": torch.where(told, rows, IGNORED_LABEL),
        }
