"""GPT-2: pre-LN with learned positions; its config has names of its own for every size."""

from tests.families.family import ANY, HEAD_DIM, LABELS, POSITIONS, TOKENS, UNTIED, Family, Variant

GPT2 = Family(
    model_type="gpt2",
    config={
        **TOKENS,
        "n_embd": 32,
        "n_layer": 2,
        "n_head": 4,
        "n_positions": POSITIONS,
        "resid_pdrop": 0.0,
        "embd_pdrop": 0.0,
        "attn_pdrop": 0.0,
    },
    variants={
        "gpt2": Variant("GPT2LMHeadModel"),
        "gpt2-untied": Variant("GPT2LMHeadModel", UNTIED),
        "gpt2-headless": Variant("GPT2Model"),
    },
    targets={**ANY, **HEAD_DIM},
    odd={
        "n_embd": 30,
        "n_head": 5,
        "n_inner": 77,
        "n_layer": 2,
        "vocab_size": 101,
        "n_positions": 53,
        "pad_token_id": 0,
    },
    odd_target={"n_embd": 88, "n_head": 8, "n_inner": 131, "n_layer": 3},
    classes={
        "gpt2": ("GPT2Model", {}),
        "gpt2-head": ("GPT2LMHeadModel", {}),
        "gpt2-head-untied": ("GPT2LMHeadModel", UNTIED),
        "gpt2-sequences": ("GPT2ForSequenceClassification", LABELS),
    },
    prefix="transformer.",
)
