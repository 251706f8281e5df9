"""LEMON: lossless growth at any ratio; copies are split unequally, padded columns are free and random."""

from dataclasses import dataclass

from growth.operators.copying import exact_width
from growth.operators.heads import tile
from growth.operators.method import Growth, Width
from growth.operators.options import option
from growth.operators.symmetry import CopyingMethod, SplitKind


@dataclass(frozen=True)
class Lemon(CopyingMethod):
    """Source: LEMON (arXiv 2310.07999), section 4."""

    name = "lemon"
    summary = "Lossless at any ratio, with the symmetry of copies broken by unequal weights."
    paper = "arXiv 2310.07999"

    split: SplitKind = option("unequal", "How readers are divided over a unit's copies: in equal or in random shares.")
    noise: float = option(
        1.0, "Standard deviation of padded, free columns, in units of the weight's own.", minimum=0, maximum=100
    )

    def widen(self, growth: Growth) -> Width:
        width = exact_width(growth, self.name, lambda _: tile, self.division(growth), padding_allowed=True)
        return self.with_noise(width, self.noise)
