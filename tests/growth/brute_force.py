"""Growth by brute force: dense matrices in float64 from a plan's closed form, or in its place those of a fit."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from hashlib import blake2b
from typing import Any

import torch
from torch import Tensor

from growth.operators.operator import NoiseKind
from growth.plan import GrowthPlan
from tests.growth.family_rules import LETTERS, RULES, WRITERS, Model, Rule

SIZES = {
    "hidden": "hidden_size",
    "heads": "num_attention_heads",
    "kv_heads": "num_key_value_heads",
    "head_dim": "head_dim",
    "query_dim": "head_dim",
    "intermediate": "intermediate_size",
}


def dense(selection: Any) -> Tensor:
    """A closed-form map as a matrix in float64: row t is a weighted unit row, nothing (-1), or the mean (-2)."""
    matrix = torch.zeros(len(selection.index), selection.source_size, dtype=torch.float64)
    for row, (unit, weight) in enumerate(zip(selection.index, selection.weight, strict=True)):
        if unit == -2:
            matrix[row] = weight / selection.source_size
        elif unit >= 0:
            matrix[row, unit] = weight
    return matrix


def dense_depth(copies: Any) -> Tensor:
    """A closed-form depth map as a matrix [target layers, source layers] in float64."""
    matrix = torch.zeros(copies.target_layers, copies.source_layers, dtype=torch.float64)
    for layer, mixed in enumerate(copies.rows):
        for k, weight in mixed:
            matrix[layer, k] += weight
    return matrix


@dataclass(frozen=True)
class BruteForce:
    """The plan's growth with some of its matrices replaced, under the names that a fit gives to its factors.

    `axes/<axis>/<map>` may carry `@<module>` behind the axis, for one module alone, and the axis may be a product of
    several, `heads*head_dim` say; `depth/*` and `depth/*writes` serve the parameters without a matrix of their own.
    """

    plan: GrowthPlan
    matrices: Mapping[str, Tensor]
    readout_scale: float | None = None
    """None is the plan's own."""
    noisy: bool = True

    def weights(self, source: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Every tensor of the target from the source's float64 tensors."""
        rules = RULES[self.plan.source.architecture.model_type]
        grown = {}
        for template in rules:
            present = [name for name in source if name == template or _template(name) == template]
            if present and "{layer}" in template:
                for layer in range(self.plan.target.sizes.num_hidden_layers):
                    grown[template.format(layer=layer)] = self._grown(template, layer, source)
            elif present:
                grown[template] = self._grown(template, None, source)
        return grown

    def _grown(self, template: str, layer: int | None, source: Mapping[str, Tensor]) -> Tensor:
        rule = self._rule(template, layer)
        tensor = source[template] if layer is None else self._mixed(template, layer, source)
        return rule.grown(tensor) + self._residual(template, layer, source)

    def _mixed(self, template: str, layer: int, source: Mapping[str, Tensor]) -> Tensor:
        depth = self._depth(template)
        mixed = torch.zeros_like(source[template.format(layer=0)])
        for k in range(self.plan.source.sizes.num_hidden_layers):
            mixed = mixed + depth[layer, k] * source[template.format(layer=k)]
        return mixed

    def _depth(self, template: str) -> Tensor:
        keys = [template, *(["*writes"] if template.startswith(WRITERS) else []), "*"]
        for key in keys:
            if f"depth/{key}" in self.matrices:
                return self.matrices[f"depth/{key}"]
        return dense_depth(next(self.plan.operator.depth[key] for key in keys if key in self.plan.operator.depth))

    def _rule(self, template: str, layer: int | None) -> Rule:
        return RULES[self.plan.source.architecture.model_type][template](self._model(template, layer))

    def _model(self, template: str, layer: int | None) -> Model:
        module = template.rpartition(".")[0]

        def given(axis: str, part: str) -> Tensor | None:
            keys = (f"{axis}@{module.format(layer=layer)}", f"{axis}@{module}", axis)
            return next((found for key in keys if (found := self.matrices.get(f"axes/{key}/{part}")) is not None), None)

        def own(letter: str, label: str) -> Tensor | None:
            return given(label, LETTERS[letter])

        def matrix(letter: str, axis: str) -> Tensor:
            found = own(letter, axis)
            return self._start(axis, letter) if found is None else found

        # The maps of a module replace those of the axis as a whole, what is added to its gains included.
        fill = given("hidden", "gain_fill") if f"axes/hidden@{module}/gain" not in self.matrices else torch.zeros(())
        hidden = self.plan.operator.axes.get("hidden")
        if fill is None:
            fill = torch.tensor(hidden.gain_fill if hidden and hidden.gain_fill else (0.0,), dtype=torch.float64)
        readout = self.plan.operator.readout_scale if self.readout_scale is None else self.readout_scale
        return Model(matrix, fill, readout if self.plan.source.tied else 1.0, own)

    def _start(self, axis: str, letter: str) -> Tensor:
        if axis in self.plan.operator.axes:
            return dense(getattr(self.plan.operator.axes[axis], LETTERS[letter]))
        return torch.eye(getattr(self.plan.source.sizes, SIZES[axis]), dtype=torch.float64)

    def _residual(self, template: str, layer: int | None, source: Mapping[str, Tensor]) -> Tensor:
        """Of a padded model: rows that the closed form leaves empty are random, as spread as the source's tensor."""
        start = replace(self, matrices={})._rule(template, layer)
        noise = self.plan.operator.noise
        if noise is None or start.produces is None or not self.noisy:
            return torch.zeros((), dtype=torch.float64)
        assert noise.kind is NoiseKind.NEW_UNITS
        produced = start.left if start.produces == 0 else start.right
        assert produced is not None
        fresh = (produced == 0).all(1)
        stacked = None if layer is None else layer % self.plan.source.sizes.num_hidden_layers
        spread = source[template.format(layer=stacked)].double().std(correction=0)
        # The number of the only block of rows that such small tensors have.
        drawn = normal(f"{self.plan.seed}/{template.format(layer=layer)}/0", self._shape(start, source, template))
        met = (fresh[:, None] if start.produces == 0 else fresh) * torch.ones(drawn.shape)
        if noise.groups > 1 and start.left is not None and start.right is not None:
            met = _in_groups(met if start.produces == 0 else met.T, noise.groups, 3 if "c_attn" in template else 1)
            met = met if start.produces == 0 else met.T
        return drawn * spread * met

    def _shape(self, rule: Rule, source: Mapping[str, Tensor], template: str) -> tuple[int, int]:
        rows, columns = source[template.format(layer=0)].shape
        return (rows if rule.left is None else len(rule.left)), (columns if rule.right is None else len(rule.right))


def _in_groups(met: Tensor, groups: int, segments: int) -> Tensor:
    """Of the new rows of each segment the first part reads the first part of the columns, and so on."""
    rows, columns = met.shape
    kept = torch.zeros(rows, columns)
    for segment in range(segments):
        new = [r for r in range(segment * rows // segments, (segment + 1) * rows // segments) if met[r].any()]
        for number, row in enumerate(new):
            group = number * groups // len(new)
            reads = [c for c in range(columns) if c * groups // columns == group]
            kept[row, reads] = groups**0.5
    return kept


def _template(name: str) -> str:
    return ".".join("{layer}" if part.isdigit() else part for part in name.split("."))


def normal(name: str, shape: tuple[int, int]) -> Tensor:
    """The normal numbers that are drawn for a name."""
    seed = int.from_bytes(blake2b(name.encode(), digest_size=8).digest(), "little") >> 1
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed)).double()
