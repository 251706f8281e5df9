"""What the methods make of a model, from their definitions alone: maps as dense matrices, orders of layers, new units.

Hypercloning and padding are written out from the growth-math formulas; of methods that draw, the drawn indices and
weights are taken from the operator. `E` is a map's expand, `C` its contract, `S` seen and `G` gain.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import sqrt

import torch
from torch import Tensor

from growth.config import Sizes
from growth.operators.operator import GrowthOperator
from tests.growth.brute_force import SIZES, dense
from tests.growth.family_rules import LETTERS, RULES, Model, Rule

Letters = Mapping[str, Tensor]
NOTHING = -1
WRITES = (".o_proj", ".down_proj", ".c_proj", ".attention.output.dense", ".output.dense")
"""Modules whose output is added to the residual stream."""
ORDERS = {"stack": (0, 1, 0, 1, 0), "interpolate": (0, 0, 0, 1, 1), "identity": (0, 0, 0, 1, 1)}
"""The source layer of each of 5 target layers, the source having 2."""
SILENT = {"stack": (), "interpolate": (), "identity": (1, 2, 4)}


@dataclass(frozen=True)
class Definition:
    """One growth: a matrix for each axis that grows, and which source layer stands behind each target layer."""

    axes: Mapping[str, Letters]
    order: Sequence[int]
    silent: Sequence[int] = ()
    readout: float = 1.0
    fill: Tensor | None = None
    """Added to gains over `hidden`."""
    from_next_layer: bool = False
    """Rows that repeat an earlier one come from the next layer's tensor."""


def copies(index: Sequence[int], source: int, weights: Sequence[float] | None = None) -> Letters:
    """Target unit t copies source unit `index[t]`; readers divide by the copies, or as `weights` says."""
    expand = torch.zeros(len(index), source, dtype=torch.float64)
    contract = torch.zeros_like(expand)
    counts = Counter(index)
    for row, unit in enumerate(index):
        if unit != NOTHING:
            expand[row, unit] = 1.0
            contract[row, unit] = 1 / counts[unit] if weights is None else weights[row]
    return {"E": expand, "C": contract, "S": expand, "G": expand}


def hypercloning_axes(source: Sizes, target: Sizes) -> dict[str, Letters]:
    """Every unit is copied in turn, its readers divided by the number of copies; queries make up for longer heads."""
    queries, keys = cloned_heads(source, target)
    axes = {"heads": copies(queries, source.num_attention_heads), "kv_heads": copies(keys, source.num_key_value_heads)}
    for axis in ("hidden", "head_dim", "intermediate"):
        old, new = getattr(source, SIZES[axis]), getattr(target, SIZES[axis])
        axes[axis] = copies([unit % old for unit in range(new)], old)
    return axes | {"query_dim": _queries(axes["head_dim"])}


def padded_axes(source: Sizes, target: Sizes) -> dict[str, Letters]:
    """Every unit stays, new ones take nothing; a group of query heads grows at its end."""
    group, larger = _groups(source, target)
    assert larger >= group, "the source's groups would have to be split"
    keys = [kv if kv < source.num_key_value_heads else NOTHING for kv in range(target.num_key_value_heads)]
    queries = [kv * group + j if kv != NOTHING and j < group else NOTHING for kv in keys for j in range(larger)]
    axes = {"heads": copies(queries, source.num_attention_heads), "kv_heads": copies(keys, source.num_key_value_heads)}
    for axis in ("hidden", "head_dim", "intermediate"):
        old, new = getattr(source, SIZES[axis]), getattr(target, SIZES[axis])
        axes[axis] = copies([*range(old), *[NOTHING] * (new - old)], old)
    return axes | {"query_dim": _queries(axes["head_dim"])}


def drawn_axes(operator: GrowthOperator) -> dict[str, Letters]:
    """The maps that a method drew, as matrices."""
    return {axis: {x: dense(getattr(m, name)) for x, name in LETTERS.items()} for axis, m in operator.axes.items()}


def cloned_heads(source: Sizes, target: Sizes) -> tuple[list[int], list[int]]:
    """The source heads behind the target's query and key/value heads: each group is dealt out over its copies."""
    group, larger = _groups(source, target)
    keys = [kv % source.num_key_value_heads for kv in range(target.num_key_value_heads)]
    dealt: Counter[int] = Counter()
    queries = []
    for kv in keys:
        for _ in range(larger):
            queries.append(kv * group + dealt[kv] % group)
            dealt[kv] += 1
    return queries, keys


def _groups(source: Sizes, target: Sizes) -> tuple[int, int]:
    return (
        source.num_attention_heads // source.num_key_value_heads,
        target.num_attention_heads // target.num_key_value_heads,
    )


def _queries(keys: Letters) -> Letters:
    """With keys expanded by E, `q.k / sqrt(d)` stays where queries expand by C sqrt(T/S)."""
    new, old = keys["E"].shape
    return {**keys, "E": keys["C"] * sqrt(new / old)}


def grown(family: str, sizes: Sizes, weights: Mapping[str, Tensor], definition: Definition) -> dict[str, Tensor]:
    """Every tensor of the target but for its random parts, from the source's float64 tensors."""
    model = _model(sizes, definition)
    target = {}
    for template, rule_of in RULES[family].items():
        rule = rule_of(model)
        if template in weights:
            target[template] = rule.grown(weights[template])
        elif template.format(layer=0) in weights:
            for layer in range(len(definition.order)):
                target[template.format(layer=layer)] = _layer(template, rule, layer, weights, definition)
    return target


def fresh(family: str, sizes: Sizes, names: Sequence[str], definition: Definition) -> dict[str, Tensor]:
    """For each tensor of a padded model the mask of its random entries: rows of new units, which hold nothing else."""
    model = _model(sizes, definition)
    masks = {}
    for name in names:
        rule = next(r for t, r in RULES[family].items() if _matches(t, name))(model)
        rows = _rows(rule)
        empty = torch.tensor(False) if rule.produces is None or rows is None else (rows == 0).all(1)
        masks[name] = empty[:, None] if rule.produces == 0 else empty
    return masks


def _model(sizes: Sizes, definition: Definition) -> Model:
    def matrix(letter: str, axis: str) -> Tensor:
        if axis in definition.axes:
            return definition.axes[axis][letter]
        return torch.eye(getattr(sizes, SIZES[axis]), dtype=torch.float64)

    nothing = torch.zeros((), dtype=torch.float64)
    return Model(matrix, nothing if definition.fill is None else definition.fill, definition.readout)


def _layer(template: str, rule: Rule, layer: int, weights: Mapping[str, Tensor], definition: Definition) -> Tensor:
    source = definition.order[layer]
    tensor = rule.grown(weights[template.format(layer=source)])
    module = template.rpartition(".")[0]
    if layer in definition.silent and module.endswith(WRITES):
        return torch.zeros_like(tensor)
    rows, norm = _rows(rule), "norm" in module.lower() or ".ln_" in module
    if not definition.from_next_layer or norm or rows is None:
        return tensor
    following = template.format(layer=source + 1)
    other = rule.grown(weights[following if following in weights else template.format(layer=source)])
    repeats = torch.tensor(_repeats(rows))
    return torch.where(repeats if rule.produces == 1 or tensor.ndim == 1 else repeats[:, None], other, tensor)


def _rows(rule: Rule) -> Tensor | None:
    """The matrix by which a tensor produces units."""
    return rule.right if rule.produces == 1 else rule.left


def _repeats(matrix: Tensor) -> list[bool]:
    known: set[tuple[float, ...]] = set()
    repeats = []
    for row in matrix.tolist():
        repeats.append(tuple(row) in known)
        known.add(tuple(row))
    return repeats


def _matches(template: str, name: str) -> bool:
    return template == ".".join("{layer}" if part.isdigit() else part for part in name.split("."))
