"""OPT: pre-LN like OPT-125m, and post-LN behind a projection like OPT-350m; an epsilon that no config changes."""

from dataclasses import replace

from tests.families.family import ANY, HEAD_DIM, LABELS, POSITIONS, TOKENS, UNTIED, Family, Variant

NARROW = {"word_embed_proj_dim": 20}
POST = {"do_layer_norm_before": False}

OPT = Family(
    model_type="opt",
    config={
        **TOKENS,
        "hidden_size": 32,
        "ffn_dim": 88,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "max_position_embeddings": POSITIONS,
        "dropout": 0.0,
    },
    variants={
        "opt": Variant("OPTForCausalLM"),
        "opt-untied": Variant("OPTForCausalLM", UNTIED),
        "opt-plain": Variant("OPTForCausalLM", {"enable_bias": False}),
        "opt-narrow": Variant("OPTForCausalLM", NARROW),
        "opt-narrow-untied": Variant("OPTForCausalLM", {**NARROW, **UNTIED}),
        "opt-headless": Variant("OPTModel"),
    },
    targets={**ANY, **HEAD_DIM},
    odd={
        "hidden_size": 40,
        "num_attention_heads": 5,
        "ffn_dim": 77,
        "num_hidden_layers": 2,
        "vocab_size": 101,
        "max_position_embeddings": 53,
        "pad_token_id": 0,
    },
    odd_target={"hidden_size": 88, "num_attention_heads": 8, "ffn_dim": 131, "num_hidden_layers": 3},
    classes={
        "opt": ("OPTModel", {}),
        "opt-head": ("OPTForCausalLM", {}),
        "opt-head-untied": ("OPTForCausalLM", UNTIED),
        "opt-narrow": ("OPTForCausalLM", NARROW),
        "opt-narrow-untied": ("OPTForCausalLM", {**NARROW, **UNTIED}),
        "opt-plain": ("OPTForCausalLM", {"enable_bias": False}),
        "opt-sequences": ("OPTForSequenceClassification", {**LABELS, **NARROW}),
        "opt-answers": ("OPTForQuestionAnswering", {}),
    },
    prefix="model.",
)
OPT_POST = replace(
    OPT,
    name="opt-post",
    variants={
        "opt-350m": Variant("OPTForCausalLM", {**NARROW, **POST}),
        "opt-350m-untied": Variant("OPTForCausalLM", {**NARROW, **POST, **UNTIED}),
        "opt-post": Variant("OPTForCausalLM", POST),
        "opt-350m-headless": Variant("OPTModel", {**NARROW, **POST}),
    },
    odd={**OPT.odd, **POST},
    classes={
        "opt-350m": ("OPTForCausalLM", NARROW),
        "opt-post": ("OPTForCausalLM", {}),
        "opt-post-headless": ("OPTModel", {}),
    },
    pads=False,
    deepens=False,
)
