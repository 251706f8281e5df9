"""Growth by brute force: dense Kronecker matrices in float64, every tensor of three families written out by hand.

Nothing here reads the engine's table, its maps' arithmetic or its residual: a rule says in plain matrices what becomes
of one tensor. `E` is a map's expand, `C` its contract, `S` seen and `G` gain.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from hashlib import blake2b
from typing import Any, Protocol

import torch
from torch import Tensor

from growth.operators.operator import NoiseKind
from growth.plan import GrowthPlan

SIZES = {
    "hidden": "hidden_size",
    "heads": "num_attention_heads",
    "kv_heads": "num_key_value_heads",
    "head_dim": "head_dim",
    "query_dim": "head_dim",
    "intermediate": "intermediate_size",
}
LETTERS = {"E": "expand", "C": "contract", "S": "seen", "G": "gain"}


class Maps(Protocol):
    """The matrix [T, S] of an axis for one module, by letter; an identity where the axis keeps its size."""

    def __call__(self, letter: str, axis: str) -> Tensor: ...


@dataclass(frozen=True)
class Rule:
    """`left @ W @ right.T`, plus `plus`, times `times`."""

    left: Tensor | None = None
    right: Tensor | None = None
    plus: Tensor | None = None
    times: float = 1.0
    produces: int | None = None
    """The dimension of a matrix whose new units are fresh in a padded model; None where there are none."""

    def grown(self, tensor: Tensor) -> Tensor:
        """The target's tensor, without a residual."""
        grown = tensor if self.left is None else self.left @ tensor
        grown = grown if self.right is None else grown @ self.right.T
        return (grown if self.plus is None else grown + self.plus) * self.times


@dataclass(frozen=True)
class Model:
    """What the rules need to know beside the matrices."""

    m: Maps
    fill: Tensor
    """Added to gains over `hidden`."""
    readout: float
    """Factor on the norm before a tied head; 1 where the head is not tied."""

    def heads(self, letter: str, axis: str = "heads", inside: str = "head_dim") -> Tensor:
        """Heads move, and the dimensions inside each: `map (x) map`."""
        return torch.kron(self.m(letter, axis), self.m(letter, inside))

    def fused(self) -> Tensor:
        """Query, key and value one after the other."""
        parts = (self.heads("E", inside="query_dim"), self.heads("E"), self.heads("E"))
        fused: Tensor = torch.block_diag(*parts)  # type: ignore[no-untyped-call]
        return fused


def _embedding(g: Model) -> Rule:
    return Rule(right=g.m("E", "hidden"), produces=1)


def _readout(g: Model) -> Rule:
    return Rule(right=g.m("C", "hidden"))


def _kept(g: Model) -> Rule:
    return Rule()


def _gain(g: Model) -> Rule:
    return Rule(left=g.m("G", "hidden"), plus=g.fill)


def _shift(g: Model) -> Rule:
    return Rule(left=g.m("S", "hidden"))


def _last(rule: Callable[[Model], Rule]) -> Callable[[Model], Rule]:
    return lambda g: replace(rule(g), times=g.readout)


def _linear(out: Callable[[Model], Tensor], into: Callable[[Model], Tensor]) -> Callable[[Model], Rule]:
    return lambda g: Rule(left=out(g), right=into(g), produces=0)


def _conv1d(out: Callable[[Model], Tensor], into: Callable[[Model], Tensor]) -> Callable[[Model], Rule]:
    return lambda g: Rule(left=into(g), right=out(g), produces=1)


def _bias(out: Callable[[Model], Tensor]) -> Callable[[Model], Rule]:
    return lambda g: Rule(left=out(g))


def _axis(letter: str, axis: str) -> Callable[[Model], Tensor]:
    return lambda g: g.m(letter, axis)


def _heads(letter: str, axis: str = "heads", inside: str = "head_dim") -> Callable[[Model], Tensor]:
    return lambda g: g.heads(letter, axis, inside)


_E_HIDDEN, _C_HIDDEN = _axis("E", "hidden"), _axis("C", "hidden")
_E_FFN, _C_FFN = _axis("E", "intermediate"), _axis("C", "intermediate")


def _both(
    name: str, out: Callable[[Model], Tensor], into: Callable[[Model], Tensor]
) -> dict[str, Callable[[Model], Rule]]:
    return {f"{name}.weight": _linear(out, into), f"{name}.bias": _bias(out)}


_LLAMA = {
    "model.embed_tokens.weight": _embedding,
    "model.layers.{layer}.input_layernorm.weight": _gain,
    **_both("model.layers.{layer}.self_attn.q_proj", _heads("E", inside="query_dim"), _C_HIDDEN),
    **_both("model.layers.{layer}.self_attn.k_proj", _heads("E", "kv_heads"), _C_HIDDEN),
    **_both("model.layers.{layer}.self_attn.v_proj", _heads("E", "kv_heads"), _C_HIDDEN),
    **_both("model.layers.{layer}.self_attn.o_proj", _E_HIDDEN, _heads("C")),
    "model.layers.{layer}.post_attention_layernorm.weight": _gain,
    **_both("model.layers.{layer}.mlp.gate_proj", _E_FFN, _C_HIDDEN),
    **_both("model.layers.{layer}.mlp.up_proj", _E_FFN, _C_HIDDEN),
    **_both("model.layers.{layer}.mlp.down_proj", _E_HIDDEN, _C_FFN),
    "model.norm.weight": _last(_gain),
    "lm_head.weight": _readout,
}
_GPT2 = {
    "transformer.wte.weight": _embedding,
    "transformer.wpe.weight": _embedding,
    "transformer.h.{layer}.ln_1.weight": _gain,
    "transformer.h.{layer}.ln_1.bias": _shift,
    "transformer.h.{layer}.attn.c_attn.weight": _conv1d(Model.fused, _C_HIDDEN),
    "transformer.h.{layer}.attn.c_attn.bias": _bias(Model.fused),
    "transformer.h.{layer}.attn.c_proj.weight": _conv1d(_E_HIDDEN, _heads("C")),
    "transformer.h.{layer}.attn.c_proj.bias": _bias(_E_HIDDEN),
    "transformer.h.{layer}.ln_2.weight": _gain,
    "transformer.h.{layer}.ln_2.bias": _shift,
    "transformer.h.{layer}.mlp.c_fc.weight": _conv1d(_E_FFN, _C_HIDDEN),
    "transformer.h.{layer}.mlp.c_fc.bias": _bias(_E_FFN),
    "transformer.h.{layer}.mlp.c_proj.weight": _conv1d(_E_HIDDEN, _C_FFN),
    "transformer.h.{layer}.mlp.c_proj.bias": _bias(_E_HIDDEN),
    "transformer.ln_f.weight": _last(_gain),
    "transformer.ln_f.bias": _last(_shift),
    "lm_head.weight": _readout,
}
_BERT = {
    "bert.embeddings.word_embeddings.weight": _embedding,
    "bert.embeddings.position_embeddings.weight": _embedding,
    "bert.embeddings.token_type_embeddings.weight": _embedding,
    "bert.embeddings.LayerNorm.weight": _gain,
    "bert.embeddings.LayerNorm.bias": _shift,
    **_both("bert.encoder.layer.{layer}.attention.self.query", _heads("E", inside="query_dim"), _C_HIDDEN),
    **_both("bert.encoder.layer.{layer}.attention.self.key", _heads("E"), _C_HIDDEN),
    **_both("bert.encoder.layer.{layer}.attention.self.value", _heads("E"), _C_HIDDEN),
    **_both("bert.encoder.layer.{layer}.attention.output.dense", _E_HIDDEN, _heads("C")),
    "bert.encoder.layer.{layer}.attention.output.LayerNorm.weight": _gain,
    "bert.encoder.layer.{layer}.attention.output.LayerNorm.bias": _shift,
    **_both("bert.encoder.layer.{layer}.intermediate.dense", _E_FFN, _C_HIDDEN),
    **_both("bert.encoder.layer.{layer}.output.dense", _E_HIDDEN, _C_FFN),
    "bert.encoder.layer.{layer}.output.LayerNorm.weight": _gain,
    "bert.encoder.layer.{layer}.output.LayerNorm.bias": _shift,
    **_both("cls.predictions.transform.dense", _E_HIDDEN, _C_HIDDEN),
    "cls.predictions.transform.LayerNorm.weight": _last(_gain),
    "cls.predictions.transform.LayerNorm.bias": _last(_shift),
    "cls.predictions.bias": _kept,
    "cls.predictions.decoder.weight": _readout,
    "cls.predictions.decoder.bias": _kept,
    **_both("bert.pooler.dense", _E_HIDDEN, _C_HIDDEN),
}
RULES: Mapping[str, Mapping[str, Callable[[Model], Rule]]] = {"llama": _LLAMA, "gpt2": _GPT2, "bert": _BERT}


def dense(selection: Any) -> Tensor:
    """A closed-form map as a matrix in float64: row t is a weighted unit row, nothing (-1), or the mean (-2)."""
    matrix = torch.zeros(len(selection.index), selection.source_size, dtype=torch.float64)
    for row, (unit, weight) in enumerate(zip(selection.index, selection.weight, strict=True)):
        if unit == -2:
            matrix[row] = weight / selection.source_size
        elif unit >= 0:
            matrix[row, unit] = weight
    return matrix


@dataclass(frozen=True)
class BruteForce:
    """The plan's growth with some of its matrices replaced, under the names that a fit gives to its factors.

    `axes/<axis>/<map>` may carry `@<module>` behind the axis, for one module alone.
    """

    plan: GrowthPlan
    matrices: Mapping[str, Tensor]

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
        if f"depth/{template}" in self.matrices:
            return self.matrices[f"depth/{template}"]
        rows: Any = self.plan.operator.depth["*"]
        matrix = torch.zeros(rows.target_layers, rows.source_layers, dtype=torch.float64)
        for layer, mixed in enumerate(rows.rows):
            for k, weight in mixed:
                matrix[layer, k] += weight
        return matrix

    def _rule(self, template: str, layer: int | None) -> Rule:
        return RULES[self.plan.source.architecture.model_type][template](self._model(template, layer))

    def _model(self, template: str, layer: int | None) -> Model:
        module = template.rpartition(".")[0]
        operator = self.plan.operator
        hidden = operator.axes.get("hidden")
        fill = torch.tensor(hidden.gain_fill if hidden and hidden.gain_fill else (0.0,), dtype=torch.float64)
        tied = self.plan.source.tied

        def matrix(letter: str, axis: str) -> Tensor:
            numbered = module.format(layer=layer)
            for key in (f"{axis}@{numbered}", f"{axis}@{module}", axis):
                if (found := self.matrices.get(f"axes/{key}/{LETTERS[letter]}")) is not None:
                    return found
            return self._start(axis, letter)

        return Model(matrix, fill, operator.readout_scale if tied else 1.0)

    def _start(self, axis: str, letter: str) -> Tensor:
        if axis in self.plan.operator.axes:
            return dense(getattr(self.plan.operator.axes[axis], LETTERS[letter]))
        return torch.eye(getattr(self.plan.source.sizes, SIZES[axis]), dtype=torch.float64)

    def _residual(self, template: str, layer: int | None, source: Mapping[str, Tensor]) -> Tensor:
        """Of a padded model: rows that the closed form leaves empty are random, as spread as the source's tensor."""
        start = replace(self, matrices={})._rule(template, layer)
        noise = self.plan.operator.noise
        if noise is None or start.produces is None:
            return torch.zeros((), dtype=torch.float64)
        assert noise.kind is NoiseKind.NEW_UNITS
        produced = start.left if start.produces == 0 else start.right
        assert produced is not None
        fresh = (produced == 0).all(1)
        stacked = None if layer is None else layer % self.plan.source.sizes.num_hidden_layers
        spread = source[template.format(layer=stacked)].float().std(correction=0).double()
        drawn = _normal(f"{self.plan.seed}/{template.format(layer=layer)}", self._shape(start, source, template))
        return drawn * spread * (fresh[:, None] if start.produces == 0 else fresh)

    def _shape(self, rule: Rule, source: Mapping[str, Tensor], template: str) -> tuple[int, int]:
        rows, columns = source[template.format(layer=0)].shape
        return (rows if rule.left is None else len(rule.left)), (columns if rule.right is None else len(rule.right))


def _template(name: str) -> str:
    return ".".join("{layer}" if part.isdigit() else part for part in name.split("."))


def _normal(name: str, shape: tuple[int, int]) -> Tensor:
    seed = int.from_bytes(blake2b(name.encode(), digest_size=8).digest(), "little") >> 1
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed)).double()
