"""Tiny real checkpoints with random weights, written by transformers' own `save_pretrained`, tokenizer included.

Nothing in them is neutral: norms, biases and embeddings are perturbed, so that a map which forgets one of them shows.
"""

from collections.abc import Iterator
from pathlib import Path
from string import ascii_lowercase, digits, punctuation
from typing import Any

import torch
import transformers
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import BertTokenizer, PreTrainedTokenizerFast

from tests.families import FAMILY_OF
from tests.families.family import VOCAB_SIZE

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


def tiny(
    folder: Path,
    variant: str,
    *,
    dtype: torch.dtype = torch.float32,
    max_shard_size: int | str = "1GB",
    seed: int = 0,
    **overrides: Any,
) -> Path:
    """The tiny checkpoint `variant` of its family; `overrides` go to its config. Returns `folder`."""
    family = FAMILY_OF[variant]
    found = family.variants[variant]
    config = transformers.AutoConfig.for_model(family.model_type, **{**family.config, **found.config, **overrides})
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = getattr(transformers, found.kind)(config)
    if found.own_head:
        model.lm_head.weight = torch.nn.Parameter(model.lm_head.weight.detach().clone())
    _perturb(model, seed)
    torch.nn.Module.to(model, dtype)
    model.save_pretrained(folder, max_shard_size=max_shard_size)
    if family.tokenizer is not None:
        _TOKENIZERS[family.tokenizer]().save_pretrained(folder)
    return folder


def tiny_llama(folder: Path, *, headed: bool = True, **options: Any) -> Path:
    """A Llama with its head or without; `options` are those of `tiny`."""
    return tiny(folder, "llama" if headed else "llama-headless", **options)


def tiny_gpt2(folder: Path, *, headed: bool = True, **options: Any) -> Path:
    """A GPT-2 with its head or without; `options` are those of `tiny`."""
    return tiny(folder, "gpt2" if headed else "gpt2-headless", **options)


def tiny_bert(folder: Path, *, headed: bool = True, **options: Any) -> Path:
    """A BERT with its head or without; `options` are those of `tiny`."""
    return tiny(folder, "bert" if headed else "bert-headless", **options)


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


_TOKENIZERS = {"byte_level": _byte_level_tokenizer, "word_piece": _word_piece_tokenizer}
