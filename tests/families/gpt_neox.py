"""GPT-NeoX: interleaved query, key and value; blocks parallel or in turn; a tied head that others get wrong."""

from tests.families.family import ANY, LABELS, POSITIONS, ROTARY, TIED, TOKENS, UNTIED, Family, Variant

SERIAL = {"use_parallel_residual": False}
PLAIN = {"attention_bias": False}

GPT_NEOX = Family(
    model_type="gpt_neox",
    config={
        **TOKENS,
        "hidden_size": 32,
        "intermediate_size": 88,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "max_position_embeddings": POSITIONS,
        "rotary_pct": 0.5,
        "layer_norm_eps": 0.01,
    },
    variants={
        "gpt_neox": Variant("GPTNeoXForCausalLM", UNTIED),
        "gpt_neox-tied": Variant("GPTNeoXForCausalLM", TIED),
        "gpt_neox-serial": Variant("GPTNeoXForCausalLM", SERIAL),
        "gpt_neox-serial-tied": Variant("GPTNeoXForCausalLM", {**SERIAL, **TIED}),
        "gpt_neox-plain": Variant("GPTNeoXForCausalLM", PLAIN),
        "gpt_neox-headless": Variant("GPTNeoXModel"),
    },
    targets={**ANY, **ROTARY},
    odd={
        "hidden_size": 40,
        "num_attention_heads": 5,
        "intermediate_size": 77,
        "num_hidden_layers": 2,
        "vocab_size": 101,
        "pad_token_id": 0,
    },
    odd_target={"hidden_size": 88, "num_attention_heads": 11, "intermediate_size": 131, "num_hidden_layers": 3},
    classes={
        "gpt_neox": ("GPTNeoXModel", {}),
        "gpt_neox-head": ("GPTNeoXForCausalLM", {}),
        "gpt_neox-head-tied": ("GPTNeoXForCausalLM", TIED),
        "gpt_neox-plain": ("GPTNeoXForCausalLM", PLAIN),
        "gpt_neox-sequences": ("GPTNeoXForSequenceClassification", LABELS),
        "gpt_neox-tokens": ("GPTNeoXForTokenClassification", LABELS),
        "gpt_neox-answers": ("GPTNeoXForQuestionAnswering", {}),
    },
    prefix="gpt_neox.",
)
