"""A random start: the target at the family's own initialisation, the baseline of every comparison."""

from dataclasses import dataclass

from growth.operators.depth import interleaved
from growth.operators.method import Built, Growth, Method
from growth.operators.operator import EVERY, DepthMap, GrowthOperator, Noise, NoiseKind


@dataclass(frozen=True)
class RandomInit(Method):
    """Every tensor is drawn afresh; of the source only config and tokenizer are used."""

    name = "random"
    summary = "A fresh target at the family's own initialisation; the baseline."
    paper = "none"

    def build(self, growth: Growth) -> Built:
        layers = growth.layers[1]
        noise = Noise(NoiseKind.INITIAL, growth.seed, order=(0,) * layers)
        nothing = DepthMap(rows=((),) * layers, source_layers=growth.layers[0])
        order = interleaved(growth.layers[0], layers)
        return Built(GrowthOperator(axes={}, depth={EVERY: nothing}, noise=noise), order, function_preserving=False)
