"""Every tensor of three families by hand: which dense Kronecker matrices it grows by.

Nothing here reads the engine's table, its maps' arithmetic or its residual: a rule says in plain matrices what becomes
of one tensor. `E` is a map's expand, `C` its contract, `S` seen and `G` gain.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Protocol

import torch
from torch import Tensor

LETTERS = {"E": "expand", "C": "contract", "S": "seen", "G": "gain"}
WRITERS = (
    "model.layers.{layer}.self_attn.o_proj",
    "model.layers.{layer}.mlp.down_proj",
    "transformer.h.{layer}.attn.c_proj",
    "transformer.h.{layer}.mlp.c_proj",
    "bert.encoder.layer.{layer}.attention.output.dense",
    "bert.encoder.layer.{layer}.output.dense",
)
"""What is added to the residual stream."""


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
    products: Callable[[str, str], Tensor | None] = lambda letter, product: None
    """The matrix of a product of axes such as `heads*head_dim`, where it has one of its own."""

    def heads(self, letter: str, axis: str = "heads", inside: str = "head_dim") -> Tensor:
        """Heads move, and the dimensions inside each: `map (x) map`, or one matrix over all units of all heads."""
        own = self.products(letter, f"{axis}*{inside}")
        return torch.kron(self.m(letter, axis), self.m(letter, inside)) if own is None else own

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
