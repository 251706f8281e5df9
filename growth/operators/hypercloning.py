"""HyperCloning: every unit is copied k times, its readers divided by k; optional noise cancels over the copies."""

from dataclasses import dataclass, replace

from growth.operators.copying import exact_width
from growth.operators.heads import tile
from growth.operators.maps import Selection, even_split
from growth.operators.method import Growth, Width, WidthMethod
from growth.operators.operator import NoiseKind
from growth.operators.options import option


@dataclass(frozen=True)
class HyperCloning(WidthMethod):
    """Source: HyperCloning (arXiv 2409.12903), section 3."""

    name = "hypercloning"
    summary = "Clones every unit; the grown model computes the source's function."
    paper = "arXiv 2409.12903"

    snr_db: float | None = option(
        None, "Signal-to-noise ratio of the noise that breaks the copies' symmetry, in dB.", minimum=-40, maximum=200
    )

    def widen(self, growth: Growth) -> Width:
        width = exact_width(
            growth, self.name, lambda _: tile, lambda _, index, size: even_split(index, size), padding_allowed=False
        )
        if self.snr_db is None:
            return width
        shrink = {a: m.contract.rms_weight() for a, m in width.axes.items() if isinstance(m.contract, Selection)}
        scale = 10 ** (-self.snr_db / 20)
        return replace(width, noise=NoiseKind.NULL_SPACE, noise_scale=scale, column_scale=shrink)
