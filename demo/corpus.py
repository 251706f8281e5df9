"""Text that every Python carries, its manual and its standard library, and a byte-level tokenizer trained on it."""

import random
import sysconfig
from pathlib import Path
from pydoc_data.topics import topics

from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

VOCAB_SIZE = 768
TRAINED_CHARACTERS = 3_000_000
HELD_OUT_CHARACTERS = 300_000
END = "<|end|>"


def standard_library() -> tuple[str, str]:
    """Text to train on, and text that no training sees: whole topics and modules, in a seeded order."""
    modules = sorted(Path(sysconfig.get_path("stdlib")).glob("*.py"))
    documents = [*topics.values(), *(module.read_text(encoding="utf-8") for module in modules)]
    random.Random(0).shuffle(documents)
    text = "\n\n".join(documents)
    end = HELD_OUT_CHARACTERS + TRAINED_CHARACTERS
    return text[HELD_OUT_CHARACTERS:end], text[:HELD_OUT_CHARACTERS]


def byte_level_tokenizer(text: str) -> PreTrainedTokenizerFast:
    """A byte-pair tokenizer of VOCAB_SIZE tokens."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCAB_SIZE,
        special_tokens=[END],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(text.splitlines(keepends=True), trainer)
    wrapped: PreTrainedTokenizerFast = PreTrainedTokenizerFast(  # type: ignore[no-untyped-call]
        tokenizer_object=tokenizer, bos_token=END, eos_token=END
    )
    return wrapped
