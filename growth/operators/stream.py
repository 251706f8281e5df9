"""The residual stream under its norm: the two forms in which `hidden` grows exactly, and the refusal elsewhere."""

from collections.abc import Sequence
from math import sqrt

from growth.errors import ImpossibleTarget
from growth.operators.maps import MEAN, ZERO, AxisMap, Selection, first_seen
from growth.operators.method import Growth, Width


def copies(source: int, index: Sequence[int], contract: Selection) -> AxisMap:
    """`hidden` as copies: norms see the same mean and variance, so gain and bias are copied too.

    Exact under LayerNorm and RMSNorm when every unit has equally many copies.
    """
    expand = Selection.of(index, source)
    return AxisMap(expand, contract, seen=expand, gain=expand, new=first_seen(index))


def padding(growth: Growth) -> Width:
    """`hidden` padded with what the norm turns to zero: the mean under LayerNorm, zero under RMSNorm.

    The gain makes up for the smaller variance, `sqrt(S/T)`, the config's epsilon shrinks by S/T; new columns of what
    reads the stream are free. Exact at any ratio for pre-norm blocks. Source: LEMON (arXiv 2310.07999), section 4.
    Where no config changes the epsilon, the stream itself makes up for it: what writes it is multiplied by `sqrt(T/S)`,
    which leaves the variance as it was. The gain takes that back, or what reads the norm's output if it is bare.
    """
    source, target = growth.axis("hidden")
    norm = growth.source.norm
    old, fresh = tuple(range(source)), target - source
    blind = Selection.of((*old, *[ZERO] * fresh), source)
    mean = Selection.of((*old, *[MEAN] * fresh), source)
    louder = 1.0 if norm.epsilon_key else sqrt(target / source)
    heard = louder if norm.bare else 1.0
    hidden = AxisMap(
        expand=(mean if norm.kind == "layernorm" else blind).scaled(louder),
        contract=blind.scaled(1 / heard),
        seen=blind.scaled(heard),
        gain=mean.scaled(sqrt(source / target)),
        new=(False,) * source + (True,) * fresh,
    )
    note = f"hidden_size {source} -> {target} is no whole multiple: the residual stream is padded, not copied."
    return Width(
        {"hidden": hidden},
        exact=True,
        readout_scale=1 / (louder * heard),
        epsilon_scale=source / target if norm.epsilon_key else 1.0,
        padded=True,
        notes=(note,),
    )


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
