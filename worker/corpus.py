"""Packed sequences of token ids as batches, in an order that the seed fixes, with a held-out end."""

from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import blake2b

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from growth.fit import IGNORED_LABEL, Batch

MAX_HELD_OUT_SEQUENCES = 64
MASKED_SHARE = 0.15


@dataclass(frozen=True, slots=True)
class Masking:
    """BERT's masked-LM corruption (arXiv 1810.04805, section 3.1)."""

    mask_token_id: int
    special_ids: tuple[int, ...]
    vocab_size: int

    def corrupt(self, ids: Tensor, generator: torch.Generator) -> dict[str, Tensor]:
        """15 % of the tokens [batch, sequence] are to be told: of these 80 % are masked, 10 % random, 10 % left.

        At least one of every sequence; a special token only where there is no other.
        """
        special = torch.isin(ids, torch.tensor(self.special_ids, dtype=ids.dtype))
        lot = torch.rand(ids.shape, generator=generator) + special
        chosen = (lot < MASKED_SHARE) | (lot == lot.amin(-1, keepdim=True))
        fate = torch.rand(ids.shape, generator=generator)
        random_ids = torch.randint(self.vocab_size, ids.shape, generator=generator)
        corrupted = torch.where(chosen & (fate < 0.8), self.mask_token_id, ids)
        corrupted = torch.where(chosen & (fate >= 0.9), random_ids, corrupted)
        return {"input_ids": corrupted, "labels": torch.where(chosen, ids, IGNORED_LABEL)}


@dataclass(frozen=True, slots=True)
class Corpus:
    """Packed sequences [n, length] of token ids, and how a batch is made of them."""

    sequences: NDArray[np.int64]
    held_out_sequences: int
    batch_size: int
    seed: int
    masking: Masking | None

    def batch(self, step: int) -> Batch:
        """The batch of step `step`: epochs over the training sequences, each in an order of its own."""
        trained = len(self.sequences) - self.held_out_sequences
        places = range(step * self.batch_size, (step + 1) * self.batch_size)
        orders = {epoch: self._order(epoch, trained) for epoch in {place // trained for place in places}}
        rows = [int(orders[place // trained][place % trained]) for place in places]
        return self._batch(self.sequences[rows], f"step {step}")

    def held_out(self) -> Sequence[Batch]:
        """The held-out sequences, at most 64 of them, in batches; masks are the same at every call."""
        held = self.sequences[-self.held_out_sequences :][:MAX_HELD_OUT_SEQUENCES]
        starts = range(0, len(held), self.batch_size)
        return [self._batch(held[start : start + self.batch_size], f"held out {start}") for start in starts]

    def _order(self, epoch: int, trained: int) -> Tensor:
        return torch.randperm(trained, generator=_generator(self.seed, f"epoch {epoch}"))

    def _batch(self, rows: NDArray[np.int64], purpose: str) -> dict[str, Tensor]:
        ids = torch.from_numpy(np.ascontiguousarray(rows))
        if self.masking is not None:
            return self.masking.corrupt(ids, _generator(self.seed, purpose))
        return {"input_ids": ids, "labels": ids}


def _generator(seed: int, purpose: str) -> torch.Generator:
    # Hashed, because the generator starts from the lowest 32 bits alone.
    digest = blake2b(f"{seed}/{purpose}".encode(), digest_size=8).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest, "little") >> 1)
