"""Tiny real checkpoints with random weights, written by transformers' own `save_pretrained`, tokenizer included.

Nothing in them is neutral: norms, biases and embeddings are perturbed, so that a map which forgets one of them shows.
"""

from collections.abc import Iterator
from pathlib import Path
from string import ascii_lowercase, digits, punctuation
from typing import Any

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import (
    BertConfig,
    BertForMaskedLM,
    BertModel,
    BertTokenizer,
    GPT2Config,
    GPT2LMHeadModel,
    GPT2Model,
    LlamaConfig,
    LlamaForCausalLM,
    LlamaModel,
    PreTrainedModel,
    PreTrainedTokenizerFast,
)

VOCAB_SIZE = 300
POSITIONS = 128
BYTE_LEVEL_SPECIALS = ("<s>", "</s>", "<pad>")
BERT_SPECIALS = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
TEXT = (
    "a model grows by copying what it knows into more room the smaller one was trained for weeks and the larger one "
    "starts where it ended every layer keeps its place and new layers say nothing at first so the loss stays where it "
    "was then training moves on from there with half the work heads widths and depths may all change at once 0123456789"
)
WORDS = TEXT.split()


def corpus(sentences: int = 400, seed: int = 0) -> Iterator[str]:
    """Seeded sentences of plain words, for tokenizers and for fits."""
    generator = torch.Generator().manual_seed(seed)
    for _ in range(sentences):
        length = int(torch.randint(4, 16, (), generator=generator))
        picked = torch.randint(len(WORDS), (length,), generator=generator)
        yield " ".join(WORDS[index] for index in picked.tolist()) + "."


def tiny_llama(
    folder: Path,
    *,
    headed: bool = True,
    dtype: torch.dtype = torch.float32,
    max_shard_size: int | str = "1GB",
    seed: int = 0,
    **overrides: Any,
) -> Path:
    """A Llama of 2 layers, 32 wide, 4 heads over 2 key/value heads; `overrides` go to its config. Returns `folder`."""
    sizes = {"hidden_size": 32, "intermediate_size": 88, "num_attention_heads": 4, "num_key_value_heads": 2}
    config = LlamaConfig(**_common() | sizes | overrides)
    kind = LlamaForCausalLM if headed else LlamaModel
    return _save(folder, kind, config, _byte_level_tokenizer(), dtype, max_shard_size, seed)


def tiny_gpt2(
    folder: Path,
    *,
    headed: bool = True,
    dtype: torch.dtype = torch.float32,
    max_shard_size: int | str = "1GB",
    seed: int = 0,
    **overrides: Any,
) -> Path:
    """A GPT-2 of 2 layers, 32 wide, 4 heads, without dropout; `overrides` go to its config. Returns `folder`."""
    sizes = {"n_embd": 32, "n_layer": 2, "n_head": 4, "n_positions": POSITIONS}
    dropout = {"resid_pdrop": 0.0, "embd_pdrop": 0.0, "attn_pdrop": 0.0}
    tokens = {"vocab_size": VOCAB_SIZE, "bos_token_id": 0, "eos_token_id": 1, "pad_token_id": 2}
    config = GPT2Config(**sizes | dropout | tokens | overrides)
    kind = GPT2LMHeadModel if headed else GPT2Model
    return _save(folder, kind, config, _byte_level_tokenizer(), dtype, max_shard_size, seed)


def tiny_bert(
    folder: Path,
    *,
    headed: bool = True,
    dtype: torch.dtype = torch.float32,
    max_shard_size: int | str = "1GB",
    seed: int = 0,
    **overrides: Any,
) -> Path:
    """A BERT of 2 layers, 32 wide, 4 heads, without dropout; `overrides` go to its config. Returns `folder`."""
    sizes = {"hidden_size": 32, "intermediate_size": 128, "num_hidden_layers": 2, "num_attention_heads": 4}
    tokens = {"vocab_size": VOCAB_SIZE, "max_position_embeddings": POSITIONS, "pad_token_id": 0}
    dropout = {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}
    config = BertConfig(**sizes | tokens | dropout | overrides)
    kind = BertForMaskedLM if headed else BertModel
    return _save(folder, kind, config, _word_piece_tokenizer(), dtype, max_shard_size, seed)


def _common() -> dict[str, Any]:
    tokens = {"vocab_size": VOCAB_SIZE, "bos_token_id": 0, "eos_token_id": 1, "pad_token_id": 2}
    return {"num_hidden_layers": 2, "max_position_embeddings": POSITIONS} | tokens


def _save(
    folder: Path,
    kind: type[PreTrainedModel],
    config: Any,
    tokenizer: PreTrainedTokenizerFast,
    dtype: torch.dtype,
    max_shard_size: int | str,
    seed: int,
) -> Path:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = kind(config)
    _perturb(model, seed)
    torch.nn.Module.to(model, dtype)
    model.save_pretrained(folder, max_shard_size=max_shard_size)
    tokenizer.save_pretrained(folder)
    return folder


def _perturb(model: torch.nn.Module, seed: int) -> None:
    """Weights large enough that the logits differ from token to token, and norms and biases off their neutral value."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in model.parameters():
            spread = 0.2 if parameter.ndim == 1 else 0.08
            parameter.add_(torch.randn(parameter.shape, generator=generator), alpha=spread)


def _byte_level_tokenizer() -> PreTrainedTokenizerFast:
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCAB_SIZE,
        special_tokens=list(BYTE_LEVEL_SPECIALS),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(corpus(), trainer)
    begin, end, padding = BYTE_LEVEL_SPECIALS
    wrapped: PreTrainedTokenizerFast = PreTrainedTokenizerFast(  # type: ignore[no-untyped-call]
        tokenizer_object=tokenizer, bos_token=begin, eos_token=end, pad_token=padding
    )
    return wrapped


def _word_piece_tokenizer() -> PreTrainedTokenizerFast:
    # Listed, because the trainer of word pieces gives another vocabulary in every process.
    characters = sorted({*ascii_lowercase, *digits, *punctuation})
    pieces = [*BERT_SPECIALS, *characters, *(f"##{c}" for c in characters), *sorted(set(WORDS) - set(characters))]
    tokenizer: PreTrainedTokenizerFast = BertTokenizer(vocab={piece: index for index, piece in enumerate(pieces)})
    return tokenizer
