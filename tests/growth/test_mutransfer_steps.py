"""A stock model in our parameter groups trains, step for step, as muP written with explicit multipliers does."""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from growth.config import ModelConfig
from growth.mutransfer import transfer
from growth.parameter_groups import initialise, param_groups
from growth.transfer_plan import Optimizer
from tests.growth.explicit_mup import (
    EPSILON,
    Ratios,
    Rule,
    gpt2_logits,
    gpt2_rule,
    in_float64,
    llama_logits,
    llama_rule,
)
from worker.modules import build_module

LR, DECAY, BETAS, EPS = 2e-2, 0.3, (0.9, 0.95), 1e-4
VOCABULARY, STEPS = 60, 10
GPT2_BASE: Mapping[str, Any] = {
    "model_type": "gpt2",
    "architectures": ["GPT2LMHeadModel"],
    "n_embd": 16,
    "n_head": 2,
    "n_inner": 40,
    "n_layer": 1,
    "n_positions": 16,
    "vocab_size": VOCABULARY,
    "layer_norm_epsilon": EPSILON,
    "initializer_range": 0.2,
    "resid_pdrop": 0.0,
    "embd_pdrop": 0.0,
    "attn_pdrop": 0.0,
}
LLAMA_BASE: Mapping[str, Any] = {
    "model_type": "llama",
    "architectures": ["LlamaForCausalLM"],
    "hidden_size": 16,
    "num_attention_heads": 2,
    "num_key_value_heads": 2,
    "head_dim": 8,
    "intermediate_size": 24,
    "num_hidden_layers": 1,
    "vocab_size": VOCABULARY,
    "rms_norm_eps": EPSILON,
    "initializer_range": 0.2,
    "tie_word_embeddings": False,
}
Logits = Callable[..., Tensor]
RuleOf = Callable[[str, Ratios], Rule]
CASES: Mapping[str, tuple[Mapping[str, Any], Mapping[str, Any], Ratios, Logits, RuleOf]] = {
    "gpt2-tied": (
        GPT2_BASE,
        {"n_embd": 48, "n_head": 6, "n_inner": 80, "n_layer": 3},
        Ratios(hidden=3, heads=3, intermediate=2, layers=3),
        partial(gpt2_logits, heads=6, layers=3),
        gpt2_rule,
    ),
    "llama-untied-uneven": (
        LLAMA_BASE,
        {
            "hidden_size": 32,
            "num_attention_heads": 8,
            "num_key_value_heads": 4,
            "intermediate_size": 72,
            "num_hidden_layers": 2,
        },
        Ratios(hidden=2, heads=4, kv_heads=2, intermediate=3, layers=2),
        partial(llama_logits, heads=8, kv_heads=4, layers=2),
        llama_rule,
    ),
    "llama-fixed-kv": (
        LLAMA_BASE,
        {"hidden_size": 48, "num_attention_heads": 6, "intermediate_size": 24},
        Ratios(hidden=3, heads=3),
        partial(llama_logits, heads=6, kv_heads=2, layers=1),
        llama_rule,
    ),
}


def loss_of(logits: Tensor, tokens: Tensor) -> Tensor:
    return F.cross_entropy(logits[:, :-1].flatten(0, 1), tokens[:, 1:].flatten())


OPTIMIZERS: Mapping[Optimizer, Callable[..., torch.optim.Optimizer]] = {
    "adamw": partial(torch.optim.AdamW, betas=BETAS),
    "adam": partial(torch.optim.Adam, betas=BETAS),
    "sgd": partial(torch.optim.SGD, momentum=0.9),
}


def by_hand(optimizer: Optimizer, rule: Rule) -> dict[str, float]:
    """Of one tensor of the explicit model; SGD's step has the size of the gradient, and so has a decay added to it."""
    rate, decayed = rule.rate / rule.epsilon if optimizer == "sgd" else rule.rate, rule.decay > 0
    decay = rule.decay if optimizer == "adamw" else rule.epsilon / rule.rate * decayed
    told = {"lr": LR * rate, "weight_decay": DECAY * decay}
    return told if optimizer == "sgd" else {**told, "eps": EPS * rule.epsilon}


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("case", CASES)
def test_steps_are_those_of_explicit_multipliers(case: str, optimizer: Optimizer) -> None:
    base, grown, ratios, logits, rule_of = CASES[case]
    plan = transfer(ModelConfig.from_dict(base), ModelConfig.from_dict({**base, **grown}), optimizer=optimizer)
    module = in_float64(build_module(plan.target_config(), seed=0))
    initialise(module, plan, seed=1)
    parameters = dict(module.named_parameters())
    rules = {name: rule_of(name, ratios) for name in parameters}
    explicit = {name: (p.detach() / rules[name].held).requires_grad_() for name, p in parameters.items()}
    kind = OPTIMIZERS[optimizer]
    ours = kind(param_groups(module, plan, lr=LR, weight_decay=DECAY, eps=EPS))
    theirs = kind([{"params": [w], **by_hand(optimizer, rules[name])} for name, w in explicit.items()])
    start = {name: weight.detach().clone() for name, weight in explicit.items()}
    for step in range(STEPS):
        tokens = torch.randint(VOCABULARY, (4, 12), generator=torch.Generator().manual_seed(step))
        found = loss_of(module(input_ids=tokens).logits, tokens)
        expected = loss_of(logits(explicit, tokens, ratios), tokens)
        torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-9)
        for steps, loss in ((ours, found), (theirs, expected)):
            steps.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            steps.step()
        for name, weight in explicit.items():
            torch.testing.assert_close(parameters[name], weight * rules[name].held, rtol=1e-9, atol=1e-9)
    assert all(not torch.allclose(weight, start[name], rtol=0, atol=1e-3) for name, weight in explicit.items())
