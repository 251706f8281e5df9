"""How copies of a unit are told apart, for the methods that copy.

Exact even copies get equal gradients, so that they stay equal for as long as they are trained, and units padded with
silence that nothing reads stay silent. Three ways out of it keep the function: unequal shares of the copies, noise that
cancels over them, and noise in the columns that read the silence.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

from growth.operators.copying import Split
from growth.operators.maps import Selection, even_split, weighted_split
from growth.operators.method import Growth, Width, WidthMethod
from growth.operators.operator import NoiseKind
from growth.operators.options import option

SplitKind = Literal["even", "unequal"]


@dataclass(frozen=True)
class CopyingMethod(WidthMethod):
    """A width method that copies units; the defaults leave the copies equal."""

    split: SplitKind = option("even", "How readers are divided over a unit's copies: in equal or in random shares.")
    snr_db: float | None = option(
        None,
        "Signal-to-noise ratio of noise that cancels over the copies, in dB; null is none.",
        minimum=-40,
        maximum=200,
    )

    def division(self, growth: Growth) -> Split:
        """How this method's readers are divided over copies.

        Source: LEMON (arXiv 2310.07999), section 4, for unequal shares.
        """

        def unequal(axis: str, index: Sequence[int], size: int) -> Selection:
            draw = growth.random(f"split/{axis}")
            return weighted_split(index, size, lambda: draw.uniform(0.5, 1.5))

        return unequal if self.split == "unequal" else lambda _, index, size: even_split(index, size)

    def with_noise(self, width: Width, free: float = 0.0) -> Width:
        """`width` with noise at `snr_db` on its copies, and of `free` weights' deviations on columns that read padding.

        Source: HyperCloning (arXiv 2409.12903), section 3, and LEMON, section 4.
        """
        copied = 0.0 if self.snr_db is None else 10 ** (-self.snr_db / 20)
        scale = copied or (free if width.padded else 0.0)
        if not scale:
            return width
        # Copies shrink the columns that read them, and noise is told in proportion to these.
        columns = {a: _shrink(m.contract) if copied else 0.0 for a, m in width.axes.items()}
        if width.padded:
            columns["hidden"] = free / scale
        return replace(width, noise=NoiseKind.NULL_SPACE, noise_scale=scale, column_scale=columns)


def _shrink(contract: object) -> float:
    assert isinstance(contract, Selection)
    return contract.rms_weight()
