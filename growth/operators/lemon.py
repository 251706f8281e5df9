"""LEMON: lossless growth at any ratio; copies are split unequally, padded columns are free and random."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from growth.operators.copying import exact_width
from growth.operators.heads import tile
from growth.operators.maps import Selection, weighted_split
from growth.operators.method import Growth, Width, WidthMethod
from growth.operators.operator import NoiseKind
from growth.operators.options import option


@dataclass(frozen=True)
class Lemon(WidthMethod):
    """Source: LEMON (arXiv 2310.07999), section 4."""

    name = "lemon"
    summary = "Lossless at any ratio, with the symmetry of copies broken by unequal weights."
    paper = "arXiv 2310.07999"

    noise: float = option(
        1.0, "Standard deviation of padded, free columns, in units of the weight's own.", minimum=0, maximum=100
    )

    def widen(self, growth: Growth) -> Width:
        def split(axis: str, index: Sequence[int], size: int) -> Selection:
            draw = growth.random(f"lemon/{axis}")
            return weighted_split(index, size, lambda: draw.uniform(0.5, 1.5))

        width = exact_width(growth, self.name, lambda _: tile, split, padding_allowed=True)
        if width.epsilon_scale == 1.0 or not self.noise:
            return width
        columns = {axis: float(axis == "hidden") for axis in width.axes}
        return replace(width, noise=NoiseKind.NULL_SPACE, noise_scale=self.noise, column_scale=columns)
