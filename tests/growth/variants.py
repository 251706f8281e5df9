"""The tiny sources that the tests grow: each family with every head, tie, bias and grouping it knows."""

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any, Protocol

import torch

from tests.growth.growing import Source
from tests.tiny import tiny_bert, tiny_gpt2, tiny_llama

VARIANTS: Mapping[str, Mapping[str, dict[str, Any]]] = {
    "bert": {
        "bert": {},
        "bert-untied": {"tie_word_embeddings": False},
        "bert-headless": {"headed": False},
    },
    "gpt2": {
        "gpt2": {},
        "gpt2-untied": {"tie_word_embeddings": False},
        "gpt2-headless": {"headed": False},
    },
    "llama": {
        "llama": {},
        "llama-tied": {"tie_word_embeddings": True},
        "llama-mha": {"num_key_value_heads": 4},
        "llama-mqa-tied": {"num_key_value_heads": 1, "tie_word_embeddings": True},
        "llama-biases": {"attention_bias": True, "mlp_bias": True},
        "llama-head_dim": {"head_dim": 16},
        "llama-headless": {"headed": False},
    },
}
"""By family; all are 2 layers of 32 units in 4 heads, Llama's over 2 key/value heads where nothing else is said."""

FAMILY_OF = {variant: family for family, variants in VARIANTS.items() for variant in variants}
_WRITE = {"bert": tiny_bert, "gpt2": tiny_gpt2, "llama": tiny_llama}


class Sources(Protocol):
    """Gives each variant, written once for all tests of a process."""

    def __call__(self, variant: str, dtype: torch.dtype = torch.float64) -> Source: ...


def sources_in(root: Path) -> Sources:
    """The variants, written into folders of `root` when they are first asked for."""

    @cache
    def source(variant: str, dtype: torch.dtype = torch.float64) -> Source:
        family = FAMILY_OF[variant]
        folder = root / f"{variant}-{dtype}".replace("torch.", "")
        return Source.open(_WRITE[family](folder, dtype=dtype, **VARIANTS[family][variant]))

    return source
