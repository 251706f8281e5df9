"""Width by copies on every axis, shared by the methods that differ only in which unit is copied and how it is split."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from math import sqrt

from growth.axes import GROWING
from growth.operators import stream
from growth.operators.heads import Pick, copied_heads
from growth.operators.maps import AxisMap, Selection, first_seen
from growth.operators.method import Growth, Width

Split = Callable[[str, Sequence[int], int], Selection]
"""(axis, index of the copies, source size) -> the contract map."""


def copying_axes(
    growth: Growth, pick: Callable[[str], Pick], split: Split, *, exact: bool = True
) -> dict[str, AxisMap]:
    """The maps of every growing axis but `hidden`, as copies chosen by `pick(axis)` and divided by `split`.

    Raises ImpossibleTarget where the heads' groups can't be kept.
    """
    indices: dict[str, Sequence[int]] = {}
    if _grows(growth, "heads") or _grows(growth, "kv_heads"):
        indices["heads"], indices["kv_heads"] = copied_heads(growth, pick("kv_heads"), exact=exact)
    for axis in ("head_dim", "intermediate"):
        if _grows(growth, axis):
            indices[axis] = pick(axis)(*growth.axis(axis))
    axes = {}
    for axis, index in indices.items():
        source = growth.axis(axis)[0]
        axes[axis] = AxisMap.plain(Selection.of(index, source), split(axis, index, source), first_seen(index))
    return axes | query_axis(growth, axes)


def query_axis(growth: Growth, axes: dict[str, AxisMap]) -> dict[str, AxisMap]:
    """The map of `query_dim`, which keeps q.k and its scale `head_dim**-0.5` as they are.

    With keys expanded by E, queries expand by `C sqrt(T/S)`, because `(C sqrt(T/S)).T @ E / sqrt(T) = I / sqrt(S)`.
    """
    if "head_dim" not in axes:
        return {}
    source, target = growth.axis("head_dim")
    keys = axes["head_dim"]
    assert isinstance(keys.contract, Selection)
    expand = keys.contract.scaled(sqrt(target / source))
    return {"query_dim": AxisMap.plain(expand, keys.contract, keys.new)}


def exact_width(
    growth: Growth, method: str, pick: Callable[[str], Pick], split: Split, *, padding_allowed: bool
) -> Width:
    """Copies on every axis; on `hidden` equal copies, or padding where the ratio is no whole number.

    Raises ImpossibleTarget where neither form is exact.
    """
    axes = copying_axes(growth, pick, split)
    source, target = growth.axis("hidden")
    if source == target:
        return Width(axes, exact=True)
    if stream.is_multiple(growth):
        index = pick("hidden")(source, target)
        axes["hidden"] = stream.copies(source, index, split("hidden", index, source))
        return Width(axes, exact=True, readout_scale=source / target)
    if not padding_allowed:
        raise stream.refuse_ratio(growth, method, "copies are exact at whole multiples alone")
    family = growth.source.architecture
    if growth.source.norm.post:
        raise stream.refuse_ratio(growth, method, "post-LN blocks allow whole multiples alone")
    if family.padding_refusal:
        raise stream.refuse_ratio(growth, method, family.padding_refusal)
    if growth.source.norm.bare and growth.source.headless:
        reason = "the last norm has no gain, so that padding would change the scale of the hidden states"
        raise stream.refuse_ratio(growth, method, reason)
    width = stream.padding(growth)
    return replace(width, axes={**axes, **width.axes})


def _grows(growth: Growth, axis: str) -> bool:
    assert axis in GROWING
    source, target = growth.axis(axis)
    return source != target
