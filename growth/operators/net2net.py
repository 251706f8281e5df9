"""Net2Net and bert2BERT: new units are random picks among the old ones, whose readers are divided by the pick count."""

from collections.abc import Sequence
from dataclasses import dataclass

from growth.operators import stream
from growth.operators.copying import copying_axes, exact_width
from growth.operators.heads import Pick
from growth.operators.maps import Selection, even_split
from growth.operators.method import Growth, Nested, Width, WidthMethod
from growth.operators.options import option


def _split(_axis: str, index: Sequence[int], size: int) -> Selection:
    return even_split(index, size)


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
class Net2Net(WidthMethod):
    """Function-preserving initialisation (FPI). Source: Net2Net (arXiv 1511.05641), section 2.2."""

    name = "net2net"
    summary = "Widens by random picks of old units; the grown model computes the source's function."
    paper = "arXiv 1511.05641"

    def widen(self, growth: Growth) -> Width:
        return exact_width(growth, self.name, lambda a: _random_picks(growth, a), _split, padding_allowed=True)


@dataclass(frozen=True)
class Bert2Bert(WidthMethod):
    """Advanced knowledge initialisation (AKI). Source: bert2BERT (arXiv 2110.07143), section 3.3."""

    name = "bert2bert"
    summary = "As net2net, with the new rows taken from the next layer; not function-preserving."
    paper = "arXiv 2110.07143"

    depth: Nested = option("stack", "The depth method that adds layers, by name or with its options.", nested=True)

    def widen(self, growth: Growth) -> Width:
        axes = copying_axes(growth, lambda a: _random_picks(growth, a), _split, exact=False)
        source, target = growth.axis("hidden")
        if source != target:
            index = _random_picks(growth, "hidden")(source, target)
            axes["hidden"] = stream.copies(source, index, even_split(index, source))
        exact = not axes
        return Width(axes, exact=exact, readout_scale=source / target, new_rows_from_next_layer=not exact)
