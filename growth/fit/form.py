"""Which of a target's weights a fit writes out, and which it applies as factors: whichever costs fewer operations.

A step's products, S and T being sizes in source and target, N the tokens of a step, each twice more on the way back
where what it multiplies is learned:

    written out    maps on the weight, then N T_out T_in
    as factors     maps on the activations N times, N S_out S_in, and N T_in for every random row of the residual
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from growth.fit.activations import GrownDim

Form = Literal["auto", "factored", "materialised"]
_LEARNED = 3
"""Products of a layer whose input and weight both take a gradient, in units of the forward one."""
_FIXED = 2
"""The same where the weight takes none."""


@dataclass(frozen=True, slots=True)
class WeightCost:
    """Multiply-adds of one step with one matrix of the target, [out, in], in either form."""

    materialised: int
    factored: int

    def cheapest(self, form: Form) -> Form:
        """The form that costs less, or the one asked for."""
        if form != "auto":
            return form
        return "factored" if self.factored <= self.materialised else "materialised"


@dataclass(frozen=True, slots=True)
class Matrix:
    """A matrix [rows, columns] in source and target, what reads it, and what its maps cost for one vector."""

    source: tuple[int, int]
    target: tuple[int, int]
    dims: tuple[GrownDim, GrownDim]
    learned: bool
    """Whether the source's weight takes a gradient, because its layers are mixed by what is learned."""
    random: int
    """Entries of the residual that are not zero."""

    def cost(self, *, tokens: int, linears: int, lookups: int) -> WeightCost:
        """The cost of a step of `tokens` for as many linear layers and tables."""
        rows, columns = (dim.multiplications() for dim in self.dims)
        write = rows * self.source[1] + columns * self.target[0]
        written = _LEARNED * (write + linears * tokens * self.target[0] * self.target[1])
        products = (_LEARNED if self.learned else _FIXED) * self.source[0] * self.source[1] + _FIXED * self.random
        linear = _LEARNED * (rows + columns) + products
        return WeightCost(written, tokens * (linears * linear + lookups * _LEARNED * columns))


def operations(costs: Mapping[str, WeightCost], forms: Mapping[str, Form]) -> int:
    """FLOPs of a step's products in the forms chosen: two for each multiply-add."""
    chosen = (c.factored if forms[name] == "factored" else c.materialised for name, c in costs.items())
    return 2 * sum(chosen)
