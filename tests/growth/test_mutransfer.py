"""muP's multipliers, by hand for a GPT-2 and a Llama (Table 8 of arXiv 2203.03466), and by rule for every family."""

import json
from collections.abc import Mapping
from dataclasses import replace
from math import isclose, sqrt
from typing import Any

import pytest
from torch import nn

from growth.axes import GROWING, Role, Side, axis_sizes
from growth.config import ModelConfig
from growth.errors import ImpossibleTarget
from growth.mutransfer import transfer
from growth.parameter_groups import param_groups
from growth.target import resolve_target
from growth.transfer_plan import Hyperparameters, Multipliers, Optimizer, TransferPlan
from tests.families import FAMILIES
from worker.modules import build_module

GPT2: Mapping[str, Any] = {
    "model_type": "gpt2",
    "architectures": ["GPT2LMHeadModel"],
    "n_embd": 64,
    "n_head": 4,
    "n_layer": 2,
    "n_inner": 256,
    "vocab_size": 100,
    "n_positions": 32,
}
LLAMA: Mapping[str, Any] = {
    "model_type": "llama",
    "architectures": ["LlamaForCausalLM"],
    "hidden_size": 64,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 16,
    "intermediate_size": 96,
    "num_hidden_layers": 2,
    "vocab_size": 100,
    "tie_word_embeddings": False,
}
# hidden 4 times, heads 2 times, feed-forward 8 times, key/value heads as they are.
UNEVEN: Mapping[str, Any] = {"hidden_size": 256, "num_attention_heads": 8, "intermediate_size": 768}
DEEP_GPT2: Mapping[str, Any] = {"n_embd": 256, "n_head": 16, "n_inner": 1024, "n_layer": 6}


def plan_of(base: Mapping[str, Any], target: Mapping[str, Any], **options: Any) -> TransferPlan:
    return transfer(ModelConfig.from_dict(base), ModelConfig.from_dict({**base, **target}), **options)


def adamw(rate: float, epsilon: float, std: float, *, decayed: bool = True) -> Multipliers:
    return Multipliers(rate, 1 / rate if decayed else 0.0, epsilon, std)


def test_gpt2_tied_and_deeper_by_hand() -> None:
    """All widths 4 times, layers 3 times: hidden matrices 1/4, the tied head's 1/4 and the branches' 1/3 held."""
    found = plan_of(GPT2, DEEP_GPT2).parameters
    block = "transformer.h.5"
    expected = {
        "transformer.wte.weight": adamw(1.0, 1 / 4, 1.0),
        "transformer.wpe.weight": adamw(1.0, 1 / 4, 1.0),
        f"{block}.ln_1.weight": adamw(1.0, 1 / 12, 1.0, decayed=False),
        f"{block}.ln_1.bias": adamw(1.0, 1 / 12, 1.0, decayed=False),
        f"{block}.attn.c_attn.weight": adamw(1 / 4, 1 / 12, 1 / 2),
        f"{block}.attn.c_attn.bias": adamw(1.0, 1 / 12, 1.0, decayed=False),
        f"{block}.attn.c_proj.weight": adamw(1 / 12, 1 / 4, 1 / 6),
        f"{block}.attn.c_proj.bias": adamw(1 / 3, 1 / 4, 1 / 3, decayed=False),
        f"{block}.mlp.c_fc.weight": adamw(1 / 4, 1 / 12, 1 / 2),
        f"{block}.mlp.c_fc.bias": adamw(1.0, 1 / 12, 1.0, decayed=False),
        f"{block}.mlp.c_proj.weight": adamw(1 / 12, 1 / 4, 1 / 6),
        f"{block}.mlp.c_proj.bias": adamw(1 / 3, 1 / 4, 1 / 3, decayed=False),
        "transformer.ln_f.weight": adamw(1 / 4, 1.0, 1 / 4, decayed=False),
        "transformer.ln_f.bias": adamw(1 / 4, 1.0, 1 / 4, decayed=False),
    }
    _assert_equal({name: found[name] for name in expected}, expected)
    assert "lm_head.weight" not in found


def test_llama_untied_and_uneven_by_hand() -> None:
    found = plan_of(LLAMA, UNEVEN).parameters
    block = "model.layers.1"
    expected = {
        "model.embed_tokens.weight": adamw(1.0, 1 / 4, 1.0),
        f"{block}.input_layernorm.weight": adamw(1.0, 1 / 4, 1.0, decayed=False),
        f"{block}.self_attn.q_proj.weight": adamw(1 / 4, 1 / 2, 1 / 2),
        # Keys and values of fixed size: matrices with a fan-out that stays.
        f"{block}.self_attn.k_proj.weight": adamw(1 / 4, 1.0, 1 / 2),
        f"{block}.self_attn.v_proj.weight": adamw(1 / 4, 1.0, 1 / 2),
        f"{block}.self_attn.o_proj.weight": adamw(1 / 2, 1 / 4, sqrt(1 / 2)),
        f"{block}.mlp.gate_proj.weight": adamw(1 / 4, 1 / 8, 1 / 2),
        f"{block}.mlp.up_proj.weight": adamw(1 / 4, 1 / 8, 1 / 2),
        f"{block}.mlp.down_proj.weight": adamw(1 / 8, 1 / 4, sqrt(1 / 8)),
        "model.norm.weight": adamw(1.0, 1 / 4, 1.0, decayed=False),
        "lm_head.weight": adamw(1 / 4, 1.0, 1 / 4),
    }
    _assert_equal({name: found[name] for name in expected}, expected)


@pytest.mark.parametrize(
    ("optimizer", "row", "rate", "decay"),
    [
        # Table 8: fan_out for vectors and biases, fan_in for the readout (here 1/m, since its weights hold 1/m each).
        ("sgd", "model.embed_tokens.weight", 4.0, 1 / 4),
        ("sgd", "model.norm.weight", 4.0, 0.0),
        ("sgd", "lm_head.weight", 1 / 4, 4.0),
        ("sgd", "model.layers.0.self_attn.q_proj.weight", 2 / 4, 4 / 2),
        ("sgd", "model.layers.0.self_attn.k_proj.weight", 1 / 4, 4.0),
        ("sgd", "model.layers.0.mlp.down_proj.weight", 4 / 8, 8 / 4),
        # Adam's decay is a part of the gradient.
        ("adam", "model.embed_tokens.weight", 1.0, 1 / 4),
        ("adam", "lm_head.weight", 1 / 4, 4.0),
        ("adam", "model.layers.0.mlp.down_proj.weight", 1 / 8, 8 / 4),
    ],
)
def test_other_optimizers_by_hand(optimizer: Optimizer, row: str, rate: float, decay: float) -> None:
    found = plan_of(LLAMA, UNEVEN, optimizer=optimizer).parameters[row]
    assert (found.learning_rate, found.weight_decay) == (rate, decay)
    assert optimizer == "adam" or found.epsilon == 1.0


def test_equal_models_change_nothing() -> None:
    for base in (GPT2, LLAMA):
        plan = plan_of(base, {}, undecayed=frozenset())
        assert set(plan.parameters.values()) == {Multipliers()}
        assert plan.factors == ()
        assert plan.notes == ()


def test_depth_may_be_left_out() -> None:
    plan = plan_of(GPT2, {"n_layer": 6}, depth=False, undecayed=frozenset())
    assert set(plan.parameters.values()) == {Multipliers()}


def test_key_value_heads_that_stay_are_told() -> None:
    (note,) = plan_of(LLAMA, UNEVEN).notes
    assert "Key/value heads do not grow as the heads do" in note


def test_post_ln_blocks_have_no_rule_of_depth() -> None:
    bert = {**FAMILIES["bert"].config, "model_type": "bert", "architectures": ["BertForMaskedLM"]}
    plan = plan_of(bert, {"num_hidden_layers": 8}, undecayed=frozenset())
    assert set(plan.parameters.values()) == {Multipliers()}
    assert "post-LN" in plan.notes[0]


def test_a_head_in_whose_way_no_norm_stands_is_refused() -> None:
    olmo = {**FAMILIES["olmo"].config, "model_type": "olmo", "architectures": ["OlmoForCausalLM"]}
    wider = {"hidden_size": 64, "num_attention_heads": 8}
    with pytest.raises(ImpossibleTarget, match="no norm stands before it") as refused:
        plan_of({**olmo, "tie_word_embeddings": True}, wider)
    assert "tie_word_embeddings" in str(refused.value.hint)
    assert plan_of({**olmo, "tie_word_embeddings": False}, wider).parameters["lm_head.weight"].learning_rate == 1 / 2


def test_head_dim_is_taken_over_by_the_queries_or_refused() -> None:
    bert = {**FAMILIES["bert"].config, "model_type": "bert", "architectures": ["BertForMaskedLM"]}
    plan = plan_of(bert, {"hidden_size": 128, "num_attention_heads": 4})
    (factor,) = [factor for factor in plan.factors if factor.name == "attention"]
    assert factor.value == 1 / 2
    query, key = (plan.parameters[f"bert.encoder.layer.0.attention.self.{part}.weight"] for part in ("query", "key"))
    assert query == Multipliers(key.learning_rate / 2, key.weight_decay * 2, key.epsilon * 2, key.init_std / 2)
    with pytest.raises(ImpossibleTarget, match="no tensor or entry of the config of a gpt2") as refused:
        plan_of(GPT2, {"n_embd": 128, "n_head": 4, "n_inner": 512})
    assert refused.value.nearest == {"head_dim": 16}


def test_another_family_is_refused() -> None:
    with pytest.raises(ImpossibleTarget, match="of a gpt2 model can't be transferred to a llama"):
        transfer(ModelConfig.from_dict(GPT2), ModelConfig.from_dict(LLAMA))


def test_a_mixture_takes_over_from_its_dense_model() -> None:
    mixtral = {**LLAMA, "model_type": "mixtral", "architectures": ["MixtralForCausalLM"], "num_local_experts": 2}
    plan = transfer(ModelConfig.from_dict(LLAMA), ModelConfig.from_dict({**mixtral, **UNEVEN}))
    experts = plan.parameters["model.layers.0.block_sparse_moe.experts.1.w2.weight"]
    assert experts == plan_of(LLAMA, UNEVEN).parameters["model.layers.0.mlp.down_proj.weight"]
    # A router reads what grows and gives what never does, as a head.
    assert plan.parameters["model.layers.0.block_sparse_moe.gate.weight"] == plan.parameters["lm_head.weight"]


def test_configs_that_scale_carry_the_factors() -> None:
    granite = {**FAMILIES["granite"].config, "model_type": "granite", "architectures": ["GraniteForCausalLM"]}
    wider = {"hidden_size": 128, "num_attention_heads": 16, "num_key_value_heads": 8, "num_hidden_layers": 6}
    plan = plan_of(granite, wider)
    assert plan.config == {"logits_scaling": 32.0, "residual_multiplier": pytest.approx(0.22 / 3)}
    assert plan.target_config().raw["logits_scaling"] == 32.0
    assert plan.parameters["model.norm.weight"].learning_rate == 1.0
    grown = plan_of(granite, wider, config_factors=False)
    assert grown.config == {}
    assert grown.parameters["lm_head.weight"].learning_rate == 1 / 4


FAMILY_CASES = {
    f"{name}-{variant}": {
        **family.config,
        **found.config,
        "model_type": family.model_type,
        "architectures": [found.kind],
    }
    for name, family in FAMILIES.items()
    for variant, found in family.variants.items()
}
REFUSED = {"olmo-olmo-tied", "olmo-olmo-mqa-tied", "opt-post-opt-post"}


@pytest.mark.parametrize("case", [pytest.param(case, id=case) for case in FAMILY_CASES if case not in REFUSED])
def test_every_family_by_rule(case: str) -> None:
    """Each parameter of the stock module has its place, and what the rules multiply comes out as the labels say."""
    base = ModelConfig.from_dict(FAMILY_CASES[case])
    target = base.replaced(
        resolve_target(base, {"hidden_size": 64, "intermediate_size": 3 * base.sizes.intermediate_size})
    )
    plan = transfer(base, target, undecayed=frozenset())
    module = build_module(plan.target_config())
    grouped = [p for group in param_groups(module, plan, lr=1.0, weight_decay=1.0) for p in group["params"]]
    assert {id(p) for p in grouped} == {id(p) for p in module.parameters() if p.requires_grad}
    assert len(grouped) == len({id(p) for p in grouped})
    _assert_the_file_names_parameters(plan, module)
    carried: dict[str, float] = {}
    for factor in plan.factors:
        carried |= {name: carried.get(name, 1.0) * factor.value for name in factor.parameters}
    grown, old = axis_sizes(target.sizes), axis_sizes(base.sizes)
    for row in target.architecture.table(target):
        found = plan.parameters[row.tensor_name(next(iter(row.layers(target.sizes.num_hidden_layers))))]
        held = carried.get(row.name, 1.0)
        offset = row.role is Role.NORM_GAIN and held != 1.0 and target.norm.gain_offset
        assert found.weight_decay == 0.0 if offset else isclose(found.learning_rate * found.weight_decay, 1.0)
        # A matrix has 1/m_in in its rate and m_in^-1/2 in its spread, everything else nothing but what it holds.
        free, spread = found.learning_rate / held, found.init_std / held
        reads = [axis for dim in row.dims if dim.side is Side.IN for axis in dim.axes if axis in GROWING]
        writes = [axis for dim in row.dims if dim.side is Side.OUT for axis in dim.axes if axis in GROWING]
        matrix = row.role is Role.LINEAR and reads and writes
        fan_in = 1.0
        for axis in reads:
            fan_in *= grown[axis] / old[axis]
        assert isclose(free, 1 / fan_in if matrix else 1.0)
        assert isclose(spread, fan_in**-0.5 if matrix else 1.0)


@pytest.mark.parametrize("case", sorted(REFUSED))
def test_families_that_must_untie(case: str) -> None:
    base = ModelConfig.from_dict(FAMILY_CASES[case])
    with pytest.raises(ImpossibleTarget, match="tied"):
        transfer(base, base.replaced(resolve_target(base, {"hidden_size": 64})))


def test_the_file_holds_the_plan() -> None:
    plan = plan_of(LLAMA, UNEVEN)
    told = json.loads(json.dumps(plan.to_json(Hyperparameters(3e-4, weight_decay=0.1))))
    assert told["hyperparameters"] == {
        "learning_rate": 3e-4,
        "weight_decay": 0.1,
        "betas": [0.9, 0.999],
        "epsilon": 1e-8,
    }
    assert len({tuple(sorted(group["parameters"])) for group in told["groups"]}) == len(told["groups"])
    read = TransferPlan.from_json(told)
    assert read == plan
    with pytest.raises(ValueError, match="format"):
        TransferPlan.from_json({**told, "format": 2})


def _assert_the_file_names_parameters(plan: TransferPlan, module: nn.Module) -> None:
    """As the stock module does; those of a ViT, of experts and of a model without its head are not a checkpoint's."""
    names = {parameter for parameter, _ in module.named_parameters()}
    listed = [parameter for group in plan.to_json()["groups"] for parameter in group["parameters"]]
    assert len(listed) == len(set(listed))
    assert names <= set(listed)
    if plan.target.headed and not (names - plan.parameters.keys()):
        assert set(listed) == plan.parameters.keys()


def _assert_equal(found: Mapping[str, Multipliers], expected: Mapping[str, Multipliers]) -> None:
    rounded = [
        {name: replace(m, **{key: round(getattr(m, key), 12) for key in m.__slots__}) for name, m in side.items()}
        for side in (found, expected)
    ]
    assert rounded[0] == rounded[1]
