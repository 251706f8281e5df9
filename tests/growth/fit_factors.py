"""Which factors a fit has and what they make of an operator's maps, for three families, by hand."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from growth.operators.structure import Structure
from growth.plan import GrowthPlan
from tests.growth.brute_force import dense, normal
from tests.growth.family_rules import LETTERS

_QUERIES, _UNITS, _PAIRS = "heads*query_dim", "heads*head_dim", "kv_heads*head_dim"
# Modules of a layer -> what they produce; the last one is what a reader follows where maps are tied.
PRODUCES: Mapping[str, Mapping[str, tuple[str, ...]]] = {
    "llama": {
        "model.layers.{layer}.self_attn.q_proj": (_QUERIES,),
        "model.layers.{layer}.self_attn.k_proj": (_PAIRS,),
        "model.layers.{layer}.self_attn.v_proj": (_PAIRS,),
        "model.layers.{layer}.mlp.gate_proj": ("intermediate",),
        "model.layers.{layer}.mlp.up_proj": ("intermediate",),
    },
    "gpt2": {
        "transformer.h.{layer}.attn.c_attn": (_QUERIES, _UNITS),
        "transformer.h.{layer}.mlp.c_fc": ("intermediate",),
    },
    "bert": {
        "bert.encoder.layer.{layer}.attention.self.query": (_QUERIES,),
        "bert.encoder.layer.{layer}.attention.self.key": (_UNITS,),
        "bert.encoder.layer.{layer}.attention.self.value": (_UNITS,),
        "bert.encoder.layer.{layer}.intermediate.dense": ("intermediate",),
    },
}
# Modules of a layer -> what they read, and of which module. Where queries share values, these are of too few heads.
READS: Mapping[str, Mapping[str, tuple[str, str]]] = {
    "llama": {
        "model.layers.{layer}.self_attn.o_proj": (_UNITS, "model.layers.{layer}.self_attn.q_proj"),
        "model.layers.{layer}.mlp.down_proj": ("intermediate", "model.layers.{layer}.mlp.up_proj"),
    },
    "gpt2": {
        "transformer.h.{layer}.attn.c_proj": (_UNITS, "transformer.h.{layer}.attn.c_attn"),
        "transformer.h.{layer}.mlp.c_proj": ("intermediate", "transformer.h.{layer}.mlp.c_fc"),
    },
    "bert": {
        "bert.encoder.layer.{layer}.attention.output.dense": (
            _UNITS,
            "bert.encoder.layer.{layer}.attention.self.value",
        ),
        "bert.encoder.layer.{layer}.output.dense": ("intermediate", "bert.encoder.layer.{layer}.intermediate.dense"),
    },
}
# RMSNorm has no bias.
HIDDEN: Mapping[str, str] = {"llama": "ECG", "gpt2": "ECSG", "bert": "ECSG"}


@dataclass(frozen=True)
class Use:
    """One map that a fit moves: `axes[key].<name>`, by the factors called `factor`."""

    key: str
    name: str
    factor: str

    @property
    def tied(self) -> bool:
        """Whether it moves as what produces the axis does."""
        return self.factor != f"axes/{self.key}/{self.name}"

    @property
    def label(self) -> str:
        return self.key.partition("@")[0]


@dataclass(frozen=True)
class Factors:
    """The factors of one plan under one structure."""

    plan: GrowthPlan
    structure: Structure

    def uses(self) -> dict[tuple[str, str], Use]:
        """Every map that is learned, by key and name."""
        family = self.plan.source.architecture.model_type
        return {(use.key, use.name): use for use in self._uses(family) if self._grows(use.label)}

    def start(self) -> dict[str, Tensor]:
        """The factors of the width maps before the first step."""
        started: dict[str, Tensor] = {}
        for use in self.uses().values():
            rows, size = len(self._rows(use.label)), self._closed(use.label, "expand").shape[1]
            rank = self.structure.rank if use.label == "intermediate" else None
            if rank is not None and rank * (rows + size) >= rows * size:
                rank = None
            started[f"{use.factor}.up"] = torch.zeros(rows, rank or size, dtype=torch.float64)
            if rank is not None:
                drawn = normal(f"{self.plan.seed}/{use.factor}.down", (rank, size))
                started[f"{use.factor}.down"] = drawn * (size**0.5 / rank)
        return started

    def matrices(self, factors: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """The dense maps that factors make: the closed form's, and what is learned of their new rows."""
        return {f"axes/{use.key}/{use.name}": self._matrix(use, factors) for use in self.uses().values()}

    def _matrix(self, use: Use, factors: Mapping[str, Tensor]) -> Tensor:
        closed, update = self._closed(use.label, use.name), factors[f"{use.factor}.up"]
        if f"{use.factor}.down" in factors:
            update = update @ factors[f"{use.factor}.down"]
        if self.structure.tie == "normalised" and use.name == "contract":
            update = update @ torch.diag(1 / (self._closed(use.label, "expand") ** 2).sum(0))
        spread = torch.zeros(len(closed), len(update), dtype=update.dtype)
        spread[self._rows(use.label), range(len(update))] = 1.0
        return closed + spread @ update

    def _uses(self, family: str) -> Iterator[Use]:
        tied = self.structure.tie != "untied"
        for letter in HIDDEN[family]:
            name = LETTERS[letter]
            yield Use("hidden", name, f"axes/hidden/{'expand' if tied and letter == 'C' else name}")
        for layer in self._layers():
            for module, labels in PRODUCES[family].items():
                for key in (self._key(label, module, layer) for label in labels):
                    yield Use(key, "expand", f"axes/{key}/expand")
            for module, (label, producer) in READS[family].items():
                producer = producer if self._shared_values() else producer.replace("q_proj", "v_proj")
                key = self._key(label, module, layer)
                followed = self._key(PRODUCES[family][producer][-1], producer, layer)
                yield Use(key, "contract", f"axes/{followed}/expand" if tied else f"axes/{key}/contract")

    def _shared_values(self) -> bool:
        return self.plan.source.sizes.num_key_value_heads < self.plan.source.sizes.num_attention_heads

    def _layers(self) -> range:
        return range(self.plan.target.sizes.num_hidden_layers if self.structure.share == "layer" else 1)

    def _key(self, label: str, module: str, layer: int) -> str:
        label = label if self.structure.attention == "dense" else label.partition("*")[0]
        return f"{label}@{module.format(layer=layer)}" if self.structure.share == "layer" else label

    def _grows(self, label: str) -> bool:
        return label.partition("*")[0] in self.plan.operator.axes

    def _closed(self, label: str, name: str) -> Tensor:
        """The closed form's map; heads keep their `head_dim`."""
        axis, _, inside = label.partition("*")
        matrix = dense(getattr(self.plan.operator.axes[axis], name))
        return torch.kron(matrix, torch.eye(self.plan.source.sizes.head_dim)) if inside else matrix

    def _rows(self, label: str) -> list[int]:
        axis, _, inside = label.partition("*")
        size = self.plan.source.sizes.head_dim if inside else 1
        new = [unit for unit, fresh in enumerate(self.plan.operator.axes[axis].new) if fresh]
        return [unit * size + place for unit in new for place in range(size)]
