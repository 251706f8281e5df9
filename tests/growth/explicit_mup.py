"""muP as the papers write it: a GPT-2 and a Llama in plain torch whose forward pass has muP's factors, and their rules.

Nothing of the engine is used here. A tensor has a stock checkpoint's name; what a stock model holds in its place is
`held` times as much.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

Weights = Mapping[str, Tensor]
EPSILON = 1e-5


@dataclass(frozen=True)
class Ratios:
    """What the target's sizes are over the base's."""

    hidden: float = 1.0
    heads: float = 1.0
    kv_heads: float = 1.0
    intermediate: float = 1.0
    layers: float = 1.0


@dataclass(frozen=True)
class Rule:
    """Of one tensor of the explicit model: Adam's rate, AdamW's decay, epsilon and the spread of its start."""

    rate: float
    decay: float
    epsilon: float
    spread: float
    held: float = 1.0
    """How many times as much a stock model holds, because it has no place for a factor of the forward pass."""


class Float64Norm(nn.Module):
    """A stock RMSNorm computes in float32, whatever it is given; here nothing may be rounded to that."""

    def __init__(self, norm: Any, offset: float) -> None:
        super().__init__()
        self.weight, self._offset = norm.weight, offset
        self._epsilon = float(getattr(norm, "variance_epsilon", getattr(norm, "eps", 0.0)))

    def forward(self, x: Tensor) -> Tensor:
        return _rms_norm(x, self.weight + self._offset, self._epsilon)


def in_float64(module: nn.Module, gain_offset: float = 0.0) -> nn.Module:
    """The module in evaluation, computing in float64 throughout."""
    module = module.double().eval()
    for name, part in list(module.named_modules()):
        if type(part).__name__.endswith(("RMSNorm", "T5LayerNorm")):
            module.set_submodule(name, Float64Norm(part, gain_offset))
    return module


def matrix(fan_in: float, fan_out: float, layers: float, held: float = 1.0) -> Rule:
    return Rule(1 / fan_in, fan_in, 1 / fan_out / layers, fan_in**-0.5, held)


def vector(size: float, layers: float = 1.0, *, decay: float = 0.0, held: float = 1.0) -> Rule:
    return Rule(1.0, decay, 1 / size / layers, 1.0, held)


def gpt2_rule(name: str, m: Ratios) -> Rule:
    """Of a GPT-2 with a tied head, whose factor the last norm holds."""
    if not name.startswith("transformer.h."):
        last = name.startswith("transformer.ln_f.")
        embedding = name in ("transformer.wte.weight", "transformer.wpe.weight")
        return vector(m.hidden, decay=float(embedding), held=1 / m.hidden if last else 1.0)
    part, kind = name.split(".", 3)[3].rsplit(".", 1)
    read, written, held = {
        "attn.c_attn": (m.hidden, m.heads, 1.0),
        "attn.c_proj": (m.heads, m.hidden, 1 / m.layers),
        "mlp.c_fc": (m.hidden, m.intermediate, 1.0),
        "mlp.c_proj": (m.intermediate, m.hidden, 1 / m.layers),
        "ln_1": (1.0, m.hidden, 1.0),
        "ln_2": (1.0, m.hidden, 1.0),
    }[part]
    is_matrix = kind == "weight" and not part.startswith("ln_")
    return matrix(read, written, m.layers, held) if is_matrix else vector(written, m.layers, held=held)


def llama_rule(name: str, m: Ratios) -> Rule:
    """Of a Llama with a head of its own."""
    if name == "lm_head.weight":
        return Rule(1.0, 1.0, 1 / m.hidden, 1.0, held=1 / m.hidden)
    if not name.startswith("model.layers."):
        return vector(m.hidden, decay=float(name == "model.embed_tokens.weight"))
    part = name.split(".")[-2]
    if part.endswith("layernorm"):
        return vector(m.hidden, m.layers)
    read, written, held = {
        "q_proj": (m.hidden, m.heads, 1.0),
        "k_proj": (m.hidden, m.kv_heads, 1.0),
        "v_proj": (m.hidden, m.kv_heads, 1.0),
        "o_proj": (m.heads, m.hidden, 1 / m.layers),
        "gate_proj": (m.hidden, m.intermediate, 1.0),
        "up_proj": (m.hidden, m.intermediate, 1.0),
        "down_proj": (m.intermediate, m.hidden, 1 / m.layers),
    }[part]
    return matrix(read, written, m.layers, held)


def gpt2_logits(w: Weights, tokens: Tensor, m: Ratios, *, heads: int, layers: int) -> Tensor:
    """Logits [batch, position, vocabulary] of a GPT-2 with muP's factors."""
    x = w["transformer.wte.weight"][tokens] + w["transformer.wpe.weight"][: tokens.shape[1]]
    for layer in range(layers):
        block = {name.removeprefix(p): t for name, t in w.items() if name.startswith(p := f"transformer.h.{layer}.")}
        y = _layer_norm(x, block, "ln_1") @ block["attn.c_attn.weight"] + block["attn.c_attn.bias"]
        y = _attention(*(_split(part, heads) for part in y.chunk(3, -1)))
        x = x + (y @ block["attn.c_proj.weight"] + block["attn.c_proj.bias"]) / m.layers
        y = _layer_norm(x, block, "ln_2") @ block["mlp.c_fc.weight"] + block["mlp.c_fc.bias"]
        y = F.gelu(y, approximate="tanh")
        x = x + (y @ block["mlp.c_proj.weight"] + block["mlp.c_proj.bias"]) / m.layers
    return _layer_norm(x, w, "transformer.ln_f") / m.hidden @ w["transformer.wte.weight"].T


def llama_logits(w: Weights, tokens: Tensor, m: Ratios, *, heads: int, kv_heads: int, layers: int) -> Tensor:
    """Logits [batch, position, vocabulary] of a Llama with muP's factors."""
    x = w["model.embed_tokens.weight"][tokens]
    for layer in range(layers):
        block = {name.removeprefix(p): t for name, t in w.items() if name.startswith(p := f"model.layers.{layer}.")}
        y = _rms_norm(x, block["input_layernorm.weight"])
        q, k, v = (y @ block[f"self_attn.{part}_proj.weight"].T for part in "qkv")
        grouped = [_split(part, kv_heads).repeat_interleave(heads // kv_heads, 1) for part in (k, v)]
        y = _attention(_rotated(_split(q, heads)), _rotated(grouped[0]), grouped[1])
        x = x + y @ block["self_attn.o_proj.weight"].T / m.layers
        y = _rms_norm(x, block["post_attention_layernorm.weight"])
        y = F.silu(y @ block["mlp.gate_proj.weight"].T) * (y @ block["mlp.up_proj.weight"].T)
        x = x + y @ block["mlp.down_proj.weight"].T / m.layers
    return _rms_norm(x, w["model.norm.weight"]) / m.hidden @ w["lm_head.weight"].T


def _layer_norm(x: Tensor, w: Weights, name: str) -> Tensor:
    centred = x - x.mean(-1, keepdim=True)
    normed: Tensor = _rms_norm(centred, w[f"{name}.weight"])
    return normed + w[f"{name}.bias"]


def _rms_norm(x: Tensor, gain: Tensor, epsilon: float = EPSILON) -> Tensor:
    normed: Tensor = x / (x.square().mean(-1, keepdim=True) + epsilon).sqrt()
    return normed * gain


def _split(x: Tensor, heads: int) -> Tensor:
    """[batch, position, heads * head_dim] -> [batch, heads, position, head_dim]."""
    return x.view(*x.shape[:2], heads, -1).transpose(1, 2)


def _attention(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """Causal, with the stock scale: head_dim is that of the base."""
    scores: Tensor = q @ k.transpose(-1, -2) * q.shape[-1] ** -0.5
    ahead = torch.ones(scores.shape[-2:], dtype=torch.bool).triu(1)
    mixed: Tensor = scores.masked_fill(ahead, -torch.inf).softmax(-1) @ v
    return mixed.transpose(1, 2).flatten(2)


def _rotated(x: Tensor) -> Tensor:
    half = x.shape[-1] // 2
    # Angles in float32, as transformers has them.
    rates = 1.0 / 10_000.0 ** (torch.arange(0, x.shape[-1], 2, dtype=torch.int64).float() / x.shape[-1])
    angles = torch.arange(x.shape[-2]).float().unsqueeze(1) * rates
    cos, sin = angles.cos().to(x.dtype), angles.sin().to(x.dtype)
    first, second = x[..., :half], x[..., half:]
    return torch.cat([first * cos - second * sin, second * cos + first * sin], -1)
