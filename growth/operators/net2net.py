"""Net2Net and bert2BERT: new units are random picks among the old ones, whose readers are divided by the pick count."""

from dataclasses import dataclass

from growth.operators import stream
from growth.operators.copying import copying_axes, exact_width
from growth.operators.heads import Pick
from growth.operators.method import Growth, Nested, Width
from growth.operators.options import option
from growth.operators.symmetry import CopyingMethod


def _random_picks(growth: Growth, axis: str) -> Pick:
    """The source's units in place, then picks; at a whole multiple every unit is picked equally often."""

    def pick(source: int, target: int) -> tuple[int, ...]:
        draw = growth.random(f"picks/{axis}")
        index = list(range(source))
        while len(index) < target:
            index += draw.sample(range(source), min(source, target - len(index)))
        return tuple(index)

    return pick


@dataclass(frozen=True)
class Net2Net(CopyingMethod):
    """Function-preserving initialisation (FPI). Source: Net2Net (arXiv 1511.05641), section 2.2."""

    name = "net2net"
    summary = "Widens by random picks of old units; the grown model computes the source's function."
    paper = "arXiv 1511.05641"

    noise: float = option(
        1.0, "Standard deviation of padded, free columns, in units of the weight's own.", minimum=0, maximum=100
    )

    def widen(self, growth: Growth) -> Width:
        picks, split = (lambda axis: _random_picks(growth, axis)), self.division(growth)
        return self.with_noise(exact_width(growth, self.name, picks, split, padding_allowed=True), self.noise)


@dataclass(frozen=True)
class Bert2Bert(CopyingMethod):
    """Advanced knowledge initialisation (AKI). Source: bert2BERT (arXiv 2110.07143), section 3.3."""

    name = "bert2bert"
    summary = "As net2net, with the new rows taken from the next layer; not function-preserving."
    paper = "arXiv 2110.07143"

    depth: Nested = option("stack", "The depth method that adds layers, by name or with its options.", nested=True)

    def widen(self, growth: Growth) -> Width:
        split = self.division(growth)
        axes = copying_axes(growth, lambda a: _random_picks(growth, a), split, exact=False)
        source, target = growth.axis("hidden")
        if source != target:
            index = _random_picks(growth, "hidden")(source, target)
            axes["hidden"] = stream.copies(source, index, split("hidden", index, source))
        exact = not axes
        width = Width(axes, exact=exact, readout_scale=source / target, new_rows_from_next_layer=not exact)
        return self.with_noise(width)
