"""What a tensor holds of a factor is as good as the factor itself: stock models against stock models with hooks.

The hooks multiply where muP's forward pass does.
"""

from collections.abc import Mapping
from math import sqrt
from typing import Any

import pytest
import torch
from torch import nn
from torch.nn.functional import cross_entropy

from growth.config import ModelConfig
from growth.mutransfer import transfer
from growth.parameter_groups import initialise, param_groups
from tests.families import FAMILY_OF
from tests.growth.explicit_mup import in_float64
from worker.modules import build_module

LR, EPS, STEPS = 1e-2, 1e-4, 6
WIDER = 2.0

# By family: further sizes, what the hooks multiply (inputs of a head, outputs of others), what a stock model holds.
CASES: Mapping[str, tuple[dict[str, Any], Mapping[str, float], Mapping[str, float], float]] = {
    "bert": (
        {"hidden_size": 64, "num_attention_heads": 8, "intermediate_size": 256},
        {"cls.predictions.decoder": 1 / WIDER},
        {"cls.predictions.transform.LayerNorm.": 1 / WIDER},
        1.0,
    ),
    "gemma2": (
        {
            "hidden_size": 64,
            "num_attention_heads": 8,
            "num_key_value_heads": 4,
            "intermediate_size": 176,
            "num_hidden_layers": 4,
        },
        {
            "lm_head": 1 / WIDER,
            "embed_tokens": 1 / sqrt(WIDER),
            "post_attention_layernorm": 1 / 2,
            "post_feedforward_layernorm": 1 / 2,
        },
        {
            # The head reads the embedding, which holds m^-1/2 of the m^-1.
            "model.norm.": 1 / sqrt(WIDER),
            "embed_tokens.": 1 / sqrt(WIDER),
            "post_attention_layernorm.": 1 / 2,
            "post_feedforward_layernorm.": 1 / 2,
        },
        2.0,
    ),
    "t5": (
        {"d_model": 64, "num_heads": 8, "d_ff": 176, "num_layers": 4, "num_decoder_layers": 4},
        # Transformers multiplies by d_model**-0.5 already.
        {"lm_head": 1 / sqrt(WIDER), "Attention.o": 1 / 2, "DenseReluDense.wo": 1 / 2},
        {"decoder.final_layer_norm.": 1 / sqrt(WIDER), "Attention.o.": 1 / 2, "DenseReluDense.wo.": 1 / 2},
        2.0,
    ),
    "granite": (
        {
            "hidden_size": 64,
            "num_attention_heads": 8,
            "num_key_value_heads": 4,
            "intermediate_size": 176,
            "num_hidden_layers": 4,
        },
        {"lm_head": 1 / WIDER, "o_proj": 1 / 2, "down_proj": 1 / 2},
        {},
        2.0,
    ),
}


@pytest.mark.parametrize("family", CASES)
def test_what_is_held_is_as_good_as_the_factor(family: str) -> None:
    grown, hooks, held, deeper = CASES[family]
    known, found = FAMILY_OF[family], FAMILY_OF[family].variants[family]
    raw = {**known.config, **found.config, "model_type": known.model_type, "architectures": [found.kind]}
    plan = transfer(ModelConfig.from_dict(raw), ModelConfig.from_dict({**raw, **grown}))
    offset = 1.0 if family == "gemma2" else 0.0
    ours, explicit = (
        in_float64(build_module(config, seed=0), offset) for config in (plan.target_config(), plan.target)
    )
    initialise(ours, plan, seed=1)
    stored = dict(ours.named_parameters())
    with torch.no_grad():
        for name, parameter in explicit.named_parameters():
            shift = offset if "norm" in name else 0.0
            parameter.copy_((stored[name] + shift) / _of(held, name) - shift)
    for name, part in explicit.named_modules():
        if (factor := _of(hooks, name)) != 1.0:
            _multiply(part, factor, of_input=name in ("lm_head", "cls.predictions.decoder"))
    optimizers = [
        torch.optim.AdamW(param_groups(ours, plan, lr=LR, eps=EPS), lr=LR, weight_decay=0.0),
        torch.optim.AdamW(_by_hand(explicit, deeper), lr=LR, weight_decay=0.0),
    ]
    losses = []
    inputs = known.inputs()
    tokens = inputs.get("decoder_input_ids", inputs["input_ids"])
    for _ in range(STEPS):
        both = [cross_entropy(module(**inputs).logits.flatten(0, 1), tokens.flatten()) for module in (ours, explicit)]
        torch.testing.assert_close(both[0], both[1], rtol=1e-7, atol=1e-7)
        losses.append(both[0].item())
        for optimizer, loss in zip(optimizers, both, strict=True):
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
    assert losses[-1] < losses[0] - 0.1


def _by_hand(module: nn.Module, deeper: float) -> list[dict[str, Any]]:
    """Matrices of all-round wider models take 1/m of the rate, and every gradient is 1/m, in blocks 1/m_L, as large."""
    groups = []
    for name, parameter in module.named_parameters():
        table = any(part in name for part in ("embed", "shared", "relative_attention_bias", "lm_head"))
        rate = LR / WIDER if parameter.ndim == 2 and not table else LR
        finite = name in ("cls.predictions.bias",)
        inside = "layers." in name or "block." in name
        eps = EPS / (1.0 if finite else WIDER) / (deeper if inside and "relative" not in name else 1.0)
        groups.append({"params": [parameter], "lr": rate, "eps": eps})
    return groups


def _of(factors: Mapping[str, float], name: str) -> float:
    """The factor of a module, by the end of its name, or of a parameter, by the module in it."""
    return next((f for part, f in factors.items() if name.endswith(part) or (part.endswith(".") and part in name)), 1.0)


def _multiply(part: nn.Module, factor: float, *, of_input: bool) -> None:
    if of_input:
        part.register_forward_pre_hook(lambda _, inputs: (inputs[0] * factor,))
    else:
        part.register_forward_hook(lambda _part, _inputs, output: output * factor)
