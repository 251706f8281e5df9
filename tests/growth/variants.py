"""The tiny sources that the tests grow, each written once for all tests of a process."""

from functools import cache
from pathlib import Path
from typing import Protocol

import torch

from tests.growth.growing import Source
from tests.tiny import tiny


class Sources(Protocol):
    """Gives each variant, written once for all tests of a process."""

    def __call__(self, variant: str, dtype: torch.dtype = torch.float64) -> Source: ...


def sources_in(root: Path) -> Sources:
    """The variants, written into folders of `root` when they are first asked for."""

    @cache
    def source(variant: str, dtype: torch.dtype = torch.float64) -> Source:
        folder = root / f"{variant}-{dtype}".replace("torch.", "")
        return Source.open(tiny(folder, variant, dtype=dtype))

    return source
