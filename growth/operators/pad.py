"""Padding with fresh random units: the old block is kept and does not read the new units, which read everything."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from growth.operators.copying import query_axis
from growth.operators.heads import placed_heads
from growth.operators.maps import ZERO, AxisMap, Selection
from growth.operators.method import Growth, Nested, Width, WidthMethod
from growth.operators.operator import NoiseKind
from growth.operators.options import option


@dataclass(frozen=True)
class Pad(WidthMethod):
    """A weight grows to [W 0; R R] with R ~ N(0, std(W)); new embedding columns are random, new gains are 1."""

    name = "pad"
    summary = "Keeps the old block and adds fresh random units that it does not read."
    paper = "the random padding that growth papers compare with, e.g. G_random in arXiv 2405.15319"

    depth: Nested = option("stack", "The depth method that adds layers, by name or with its options.", nested=True)
    scale: float = option(
        1.0, "Standard deviation of the random units, in units of the weight's own.", minimum=0, maximum=100
    )

    def widen(self, growth: Growth) -> Width:
        axes = {}
        if growth.axis("heads") != (growth.source.sizes.num_attention_heads,) * 2 or _grows(growth, "kv_heads"):
            queries, keys = placed_heads(growth)
            axes = {"heads": _placed(growth, "heads", queries), "kv_heads": _placed(growth, "kv_heads", keys)}
        for axis in ("hidden", "head_dim", "intermediate"):
            if _grows(growth, axis):
                source, target = growth.axis(axis)
                axes[axis] = _placed(growth, axis, (*range(source), *[ZERO] * (target - source)))
        axes |= query_axis(growth, axes)
        return Width(axes, exact=not axes, noise=NoiseKind.NEW_UNITS, noise_scale=self.scale)


def _grows(growth: Growth, axis: str) -> bool:
    source, target = growth.axis(axis)
    return source != target


def _placed(growth: Growth, axis: str, index: Sequence[int]) -> AxisMap:
    source = growth.axis(axis)[0]
    copies = Counter(index)
    expand = Selection.of(index, source)
    contract = Selection.of(index, source, [1 / copies[unit] if unit != ZERO else 1.0 for unit in index])
    new = tuple(unit == ZERO for unit in index)
    return AxisMap(expand, contract, seen=expand, gain=expand, new=new, gain_fill=tuple(map(float, new)))
