"""The models that are grown and what they are trained on: all that, beside a run's own settings, fixes its result."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

MASK_ID = 256
"""The token after the 256 bytes, which masked language models read in place of what they are to tell."""


@dataclass(frozen=True)
class Recipe:
    """One family at two sizes; numbers of steps and rates are those of the source's training."""

    model_class: str
    """Of transformers."""
    config: Mapping[str, Any]
    """What source and target have in common."""
    source: Mapping[str, int]
    target: Mapping[str, int]
    length: int
    """Tokens of a sequence; of an image its patches and the class token."""
    batch_size: int
    source_steps: int
    source_rate: float
    source_warmup: int = 100


LLAMA = Recipe(
    model_class="LlamaForCausalLM",
    config={
        "model_type": "llama",
        "vocab_size": 256,
        "max_position_embeddings": 128,
        "bos_token_id": None,
        "eos_token_id": None,
    },
    source={"hidden_size": 64, "intermediate_size": 176, "num_hidden_layers": 4, "num_attention_heads": 4},
    target={"hidden_size": 128, "intermediate_size": 352, "num_hidden_layers": 8, "num_attention_heads": 8},
    length=128,
    batch_size=16,
    source_steps=3200,
    source_rate=3e-3,
)

LLAMA_SMALL = replace(
    LLAMA,
    source={"hidden_size": 32, "intermediate_size": 88, "num_hidden_layers": 4, "num_attention_heads": 2},
    target={"hidden_size": 64, "intermediate_size": 176, "num_hidden_layers": 8, "num_attention_heads": 4},
    length=32,
    source_steps=600,
)
"""With a source that stays above scratch when annealed."""

GPT2 = Recipe(
    model_class="GPT2LMHeadModel",
    config={
        "model_type": "gpt2",
        "vocab_size": 256,
        "n_positions": 32,
        "resid_pdrop": 0.0,
        "embd_pdrop": 0.0,
        "attn_pdrop": 0.0,
        "bos_token_id": None,
        "eos_token_id": None,
    },
    source={"n_embd": 32, "n_inner": 128, "n_layer": 4, "n_head": 2},
    target={"n_embd": 64, "n_inner": 256, "n_layer": 6, "n_head": 4},
    length=32,
    batch_size=16,
    source_steps=800,
    source_rate=4e-3,
)

BERT = Recipe(
    model_class="BertForMaskedLM",
    config={
        "model_type": "bert",
        "vocab_size": MASK_ID + 1,
        "max_position_embeddings": 16,
        "type_vocab_size": 1,
        "hidden_dropout_prob": 0.0,
        "attention_probs_dropout_prob": 0.0,
        "pad_token_id": None,
    },
    source={"hidden_size": 32, "intermediate_size": 128, "num_hidden_layers": 4, "num_attention_heads": 2},
    target={"hidden_size": 64, "intermediate_size": 256, "num_hidden_layers": 6, "num_attention_heads": 4},
    length=16,
    batch_size=64,
    source_steps=800,
    source_rate=2e-3,
)

VIT = Recipe(
    model_class="ViTForImageClassification",
    config={
        "model_type": "vit",
        "image_size": 8,
        "patch_size": 2,
        "num_channels": 1,
        "id2label": {str(digit): str(digit) for digit in range(10)},
    },
    source={"hidden_size": 32, "intermediate_size": 128, "num_hidden_layers": 4, "num_attention_heads": 2},
    target={"hidden_size": 64, "intermediate_size": 256, "num_hidden_layers": 6, "num_attention_heads": 4},
    length=17,
    batch_size=32,
    source_steps=600,
    source_rate=2e-3,
    source_warmup=50,
)

TINY = Recipe(
    model_class="LlamaForCausalLM",
    config={**LLAMA.config, "max_position_embeddings": 32},
    source={"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2},
    target={"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4},
    length=32,
    batch_size=4,
    source_steps=40,
    source_rate=1e-2,
    source_warmup=5,
)
