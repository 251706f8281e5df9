"""HyperCloning: every unit is copied k times, its readers divided by k; optional noise cancels over the copies."""

from dataclasses import dataclass

from growth.operators.copying import exact_width
from growth.operators.heads import tile
from growth.operators.method import Growth, Width
from growth.operators.symmetry import CopyingMethod


@dataclass(frozen=True)
class HyperCloning(CopyingMethod):
    """Source: HyperCloning (arXiv 2409.12903), section 3."""

    name = "hypercloning"
    summary = "Clones every unit; the grown model computes the source's function."
    paper = "arXiv 2409.12903"

    def widen(self, growth: Growth) -> Width:
        split = self.division(growth)
        return self.with_noise(exact_width(growth, self.name, lambda _: tile, split, padding_allowed=False))
