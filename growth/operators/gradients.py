"""The maps by which gradients grow: those of the weights with their roles swapped.

Where the grown model computes the source's function, a unit t that copies unit s passes on the share C[t, s] of its
gradient, and a reader meets it with E[t, s] of its activation. So a weight's gradient grows as `D_out G R_in.T`:

| map | is                                                                                                        |
|-----|-----------------------------------------------------------------------------------------------------------|
| R   | `seen`, the activations as readers see them                                                               |
| D   | `contract`; for a key/value head the shares of the query heads that read its copy; for `query_dim` what   |
|     | keys expand by, times sqrt(S/T); for a norm's gain `contract * seen / gain`, because the normed unit that |
|     | it multiplies grew by `seen / gain`; before a tied head, which reads through the embedding, `expand`      |
|     | times the head's scale in place of `contract`                                                             |

Units that take nothing from the source, or a mean over it, have no history: their rows are ZERO.
"""

from dataclasses import replace
from enum import Enum
from math import isclose, sqrt

from growth.axes import GROWING, Parameter, Role
from growth.config import Sizes
from growth.operators.maps import MEAN, ZERO, AxisMap, Selection
from growth.operators.operator import DepthMap, GrowthOperator


class Reach(Enum):
    """Which D a parameter takes."""

    PLAIN = "plain"
    GAIN = "gain"
    TIED_BIAS = "tied_bias"
    TIED_GAIN = "tied_gain"


def reach_of(parameter: Parameter) -> Reach:
    """Which D grows the gradient of `parameter`."""
    if parameter.role is Role.NORM_GAIN:
        return Reach.TIED_GAIN if parameter.feeds_tied_head else Reach.GAIN
    return Reach.TIED_BIAS if parameter.feeds_tied_head else Reach.PLAIN


def gradient_operator(
    operator: GrowthOperator, source: Sizes, target: Sizes, reach: Reach, power: int
) -> GrowthOperator:
    """What grows gradients (`power` 1) or their squares (2) where the closed-form `operator` grows the weights.

    Its `expand` is D, its `contract` R, both with weights to that power; layers that add nothing take nothing.
    """
    axes = {}
    for key, axis_map in operator.axes.items():
        share = _share(operator, key, axis_map, source, target, reach)
        axes[key] = AxisMap.plain(_power(share, power), _power(_closed(axis_map.seen), power), axis_map.new)
    idle = idle_layers(operator)
    depth = {key: _without(matrix, idle) for key, matrix in operator.depth.items()}
    following = operator.next_depth
    return GrowthOperator(axes, depth, next_depth=None if following is None else _without(following, idle))


def idle_layers(operator: GrowthOperator) -> frozenset[int]:
    """Target layers that add nothing to the residual stream, so that no gradient reaches into them."""
    matrices = [matrix for matrix in operator.depth.values() if isinstance(matrix, DepthMap)]
    return frozenset(layer for matrix in matrices for layer, row in enumerate(matrix.rows) if not row)


def splits_groups(operator: GrowthOperator, source: Sizes, target: Sizes) -> bool:
    """Whether copies of a key/value head are read by other shares of its query heads: their gradients are unknown."""
    shares = [share for share in _group_shares(operator, source, target) if share]
    return any(not isclose(min(share), max(share)) for share in shares)


def splits_unequally(axis_map: AxisMap) -> bool:
    """Whether copies of a unit pass on different shares."""
    contract = _closed(axis_map.contract)
    pairs = zip(contract.index, contract.weight, strict=True)
    shares: dict[int, float] = {}
    return any(unit != ZERO and not isclose(shares.setdefault(unit, weight), weight) for unit, weight in pairs)


def _share(
    operator: GrowthOperator, key: str, axis_map: AxisMap, source: Sizes, target: Sizes, reach: Reach
) -> Selection:
    axis = key.partition("@")[0]
    assert axis in GROWING
    if reach in (Reach.TIED_BIAS, Reach.TIED_GAIN):
        share = _closed(axis_map.expand).scaled(operator.readout_scale)
    elif axis == "kv_heads":
        share = _key_share(operator, source, target)
    elif axis == "query_dim":
        share = _closed(operator.axes["head_dim"].expand).scaled(sqrt(source.head_dim / target.head_dim))
    else:
        share = _closed(axis_map.contract)
    return _through_norm(share, axis_map) if reach in (Reach.GAIN, Reach.TIED_GAIN) else share


def _key_share(operator: GrowthOperator, source: Sizes, target: Sizes) -> Selection:
    """The mean over a group's query heads of the shares that read each copy; exact where all are equal."""
    keys = _closed(operator.axes["kv_heads"].expand)
    shares = _group_shares(operator, source, target)
    weights = [sum(share) / len(share) if share else 1.0 for share in shares]
    return Selection.of(keys.index, keys.source_size, weights)


def _group_shares(operator: GrowthOperator, source: Sizes, target: Sizes) -> list[list[float]]:
    """For each target key/value head the share of each query head of its source group that reads it; none if new."""
    if "kv_heads" not in operator.axes:
        return []
    keys, queries = _closed(operator.axes["kv_heads"].expand), _closed(operator.axes["heads"].contract)
    source_group = source.num_attention_heads // source.num_key_value_heads
    group = target.num_attention_heads // target.num_key_value_heads
    found = []
    for place, key in enumerate(keys.index):
        share = [0.0] * source_group
        for query in range(place * group, (place + 1) * group):
            if queries.index[query] != ZERO and key != ZERO:
                share[queries.index[query] - key * source_group] += queries.weight[query]
        found.append([] if key == ZERO else share)
    return found


def _through_norm(share: Selection, axis_map: AxisMap) -> Selection:
    seen, gain = _closed(axis_map.seen), _closed(axis_map.gain)
    factors = [s / g if unit != ZERO else 0.0 for unit, s, g in zip(seen.index, seen.weight, gain.weight, strict=True)]
    index = [ZERO if unit == ZERO else kept for unit, kept in zip(seen.index, share.index, strict=True)]
    return Selection.of(index, share.source_size, [w * f for w, f in zip(share.weight, factors, strict=True)])


def _power(selection: Selection, power: int) -> Selection:
    index = [ZERO if unit == MEAN else unit for unit in selection.index]
    return Selection.of(index, selection.source_size, [weight**power for weight in selection.weight])


def _closed(linear_map: object) -> Selection:
    assert isinstance(linear_map, Selection)
    return linear_map


def _without(matrix: object, layers: frozenset[int]) -> DepthMap:
    assert isinstance(matrix, DepthMap)
    return replace(matrix, rows=tuple(() if layer in layers else row for layer, row in enumerate(matrix.rows)))


def bare(parameter: Parameter) -> Parameter:
    """`parameter` as its gradient grows: through `expand` and `contract` alone, without what compensates its values."""
    norm = parameter.role in (Role.NORM_GAIN, Role.NORM_BIAS)
    return replace(
        parameter,
        role=Role.EMBEDDING if norm else parameter.role,
        feeds_tied_head=False,
        scaled_embedding=False,
        feeds_inner_norm=False,
    )
