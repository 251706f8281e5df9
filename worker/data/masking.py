"""BERT's masked-LM corruption of a batch."""

from dataclasses import dataclass

import torch
from torch import Tensor

from growth.errors import InvalidData
from growth.fit import IGNORED_LABEL
from worker.tokenizer import Tokenizer

MASKED_SHARE = 0.15


@dataclass(frozen=True, slots=True)
class Masking:
    """BERT's masked-LM corruption (arXiv 1810.04805, section 3.1)."""

    mask_token_id: int
    special_ids: tuple[int, ...]
    vocab_size: int

    @classmethod
    def of(cls, tokenizer: Tokenizer, vocab_size: int) -> "Masking":
        """With the mask of this tokenizer. Raises InvalidData where it has none."""
        if tokenizer.mask_token_id is None:
            raise InvalidData(
                "The source's tokenizer has no mask token, which a masked-LM fit needs; add it to the tokenizer's "
                "files."
            )
        return cls(tokenizer.mask_token_id, tuple(tokenizer.all_special_ids), vocab_size)

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
