"""The residual stream under its norm: the two forms in which `hidden` grows exactly, and the refusal elsewhere."""

from collections.abc import Sequence
from math import sqrt

from growth.errors import ImpossibleTarget
from growth.operators.maps import MEAN, ZERO, AxisMap, Selection, first_seen
from growth.operators.method import Growth


def copies(source: int, index: Sequence[int], contract: Selection) -> AxisMap:
    """`hidden` as copies: norms see the same mean and variance, so gain and bias are copied too.

    Exact under LayerNorm and RMSNorm when every unit has equally many copies.
    """
    expand = Selection.of(index, source)
    return AxisMap(expand, contract, seen=expand, gain=expand, new=first_seen(index))


def padding(growth: Growth) -> AxisMap:
    """`hidden` padded with what the norm turns to zero: the mean under LayerNorm, zero under RMSNorm.

    The gain makes up for the smaller variance, `sqrt(S/T)`, the config's epsilon shrinks by S/T; new columns of what
    reads the stream are free. Exact at any ratio for pre-norm blocks. Source: LEMON (arXiv 2310.07999), section 4.
    """
    source, target = growth.axis("hidden")
    old, fresh = tuple(range(source)), target - source
    blind = Selection.of((*old, *[ZERO] * fresh), source)
    mean = Selection.of((*old, *[MEAN] * fresh), source)
    layernorm = growth.source.architecture.norm.kind == "layernorm"
    new = (False,) * source + (True,) * fresh
    return AxisMap(
        expand=mean if layernorm else blind,
        contract=blind,
        seen=blind,
        gain=mean.scaled(sqrt(source / target)),
        new=new,
    )


def padding_epsilon_scale(growth: Growth) -> float:
    """Factor on the norm's epsilon under `padding`."""
    source, target = growth.axis("hidden")
    return source / target


def is_multiple(growth: Growth) -> bool:
    """Whether the target's hidden size is a whole multiple of the source's."""
    source, target = growth.axis("hidden")
    return target % source == 0


def nearest_multiple(growth: Growth) -> int:
    """The multiple of the source's hidden size nearest to the target's, larger than the source's."""
    source, target = growth.axis("hidden")
    return max(2, (2 * target + source) // (2 * source)) * source


def refuse_ratio(growth: Growth, method: str, reason: str) -> ImpossibleTarget:
    """The refusal of a hidden size that is no multiple of the source's."""
    source, target = growth.axis("hidden")
    multiple = nearest_multiple(growth)
    return ImpossibleTarget(
        f"Method {method!r} can't grow hidden_size {source} to {target} and keep the function: {reason}.",
        field="/target/hidden_size",
        hint=f"Ask for hidden_size {multiple}, or for a method that need not be exact: pad, bert2bert or ligo.",
        nearest={"hidden_size": multiple},
    )
