"""Attention heads under growth: which source head stands behind each target head, key/value groups kept intact.

Query head h reads the keys and values of group `h // (heads / kv_heads)`, so a target query head must copy a source
query head of the very group that its own key/value head copies.
"""

from collections.abc import Callable, Sequence

from growth.errors import ImpossibleTarget
from growth.operators.maps import ZERO
from growth.operators.method import Growth
from growth.target import groups_fit, nearest_kv_heads

Heads = tuple[tuple[int, ...], tuple[int, ...]]
"""Source query head of each target query head, source key/value head of each target key/value head; ZERO is none."""
Pick = Callable[[int, int], Sequence[int]]
"""(source size, target size) -> the source unit that each target unit copies."""


def tile(source: int, target: int) -> tuple[int, ...]:
    """Copies in turn: 0, 1, .., S-1, 0, 1, .."""
    return tuple(unit % source for unit in range(target))


def _groups(growth: Growth) -> tuple[int, int]:
    """Query heads per key/value head, in source and target."""
    (heads, target_heads), (kv_heads, target_kv_heads) = growth.axis("heads"), growth.axis("kv_heads")
    return heads // kv_heads, target_heads // target_kv_heads


def _copy_number(index: Sequence[int]) -> list[int]:
    """For each target unit how many earlier ones copy the same source unit."""
    seen: dict[int, int] = {}
    numbers = []
    for unit in index:
        numbers.append(seen.get(unit, 0))
        seen[unit] = numbers[-1] + 1
    return numbers


def _refuse_small_groups(growth: Growth) -> None:
    target = growth.target
    if groups_fit(growth.source.sizes, target.num_attention_heads, target.num_key_value_heads):
        return
    heads, kv_heads = target.num_attention_heads, target.num_key_value_heads
    source_group, group = _groups(growth)
    raise ImpossibleTarget(
        f"With {heads} query heads on {kv_heads} key/value heads, groups of {group} can't hold every query head of the "
        f"source, whose groups have {source_group}.",
        field="/target/num_key_value_heads",
        hint="Keep the group size, or give each source group more key/value heads.",
        nearest={
            "num_attention_heads": heads,
            "num_key_value_heads": nearest_kv_heads(growth.source.sizes, heads, kv_heads),
        },
    )


def _refuse_unequal_copies(growth: Growth) -> None:
    reason = growth.source.architecture.equal_heads_refusal
    for axis, name in (("heads", "num_attention_heads"), ("kv_heads", "num_key_value_heads")):
        source, target = growth.axis(axis)
        if reason and target % source:
            raise ImpossibleTarget(
                f"{name} can't grow from {source} to {target} and keep the function: {reason}.",
                field=f"/target/{name}",
                nearest=_nearest_equal_copies(growth),
            )


def _nearest_equal_copies(growth: Growth) -> dict[str, int]:
    """Whole multiples of both kinds of heads that divide `hidden_size`, or one of that too where there are none."""
    source, target = growth.source.sizes, growth.target
    heads, kv_heads, hidden = source.num_attention_heads, source.num_key_value_heads, target.hidden_size
    times = [k for k in range(1, hidden // heads + 1) if hidden % (k * heads) == 0]
    nearest = {}
    if not times:
        times = [max(1, round(hidden / source.hidden_size))]
        nearest["hidden_size"] = times[0] * source.hidden_size
    best = min(times, key=lambda k: (abs(k * heads - target.num_attention_heads), -k))
    nearest["num_attention_heads"] = best * heads
    nearest["num_key_value_heads"] = 1 if kv_heads == 1 else best * kv_heads
    return nearest


def copied_heads(growth: Growth, pick: Pick = tile, *, exact: bool = True) -> Heads:
    """Every target head is a copy, and every source head is copied at least once.

    Source: section 3.3 of HyperCloning (arXiv 2409.12903) for equal groups; here any ratio of either kind of head.
    Raises ImpossibleTarget where the groups are too small for that.
    """
    source_kv, target_kv = growth.axis("kv_heads")
    source_group, group = _groups(growth)
    if exact:
        _refuse_unequal_copies(growth)
    if source_group == group == 1:
        index = tuple(pick(source_kv, target_kv))
        return index, index
    _refuse_small_groups(growth)
    kv_index = tuple(pick(source_kv, target_kv))
    queries = []
    for kv, number in zip(kv_index, _copy_number(kv_index), strict=True):
        queries += [kv * source_group + (number * group + j) % source_group for j in range(group)]
    return tuple(queries), kv_index


def placed_heads(growth: Growth) -> Heads:
    """Every source head stands in one place that fits its group; all other target heads are new (ZERO).

    A key/value head is copied as often as its source group needs places. Raises ImpossibleTarget where it can't.
    """
    source_kv, target_kv = growth.axis("kv_heads")
    source_group, group = _groups(growth)
    _refuse_small_groups(growth)
    places = -(-source_group // group)
    kv_index = [unit % source_kv if unit < places * source_kv else ZERO for unit in range(target_kv)]
    queries = []
    for kv, number in zip(kv_index, _copy_number(kv_index), strict=True):
        inside = [number * group + j for j in range(group)]
        queries += [kv * source_group + j if kv != ZERO and j < source_group else ZERO for j in inside]
    return tuple(queries), tuple(kv_index)
