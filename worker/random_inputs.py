"""Made-up inputs for a model of any family: seeded tokens, pixels or sounds, and labels where they are asked for."""

import torch
from torch import Tensor

from growth.config import ModelConfig
from growth.fit import Batch
from growth.inputs import Input

_LABELS = {
    "causal_lm": "input_ids",
    "masked_lm": "input_ids",
    "seq2seq_lm": "decoder_input_ids",
    "speech_seq2seq": "decoder_input_ids",
}
"""By what a family is trained on, the tokens that it is to tell."""


def random_batch(config: ModelConfig, seed: int, examples: int) -> Batch:
    """What the forward pass of `config` reads, `examples` of it."""
    return _inputs(config, torch.Generator().manual_seed(seed), examples)


def labelled_batch(config: ModelConfig, seed: int, examples: int) -> Batch:
    """The same, with labels for the head that the family is trained with."""
    generator = torch.Generator().manual_seed(seed)
    batch = _inputs(config, generator, examples)
    tokens = _LABELS.get(config.architecture.objective)
    if tokens is not None:
        return {**batch, "labels": batch[tokens]}
    return {**batch, "labels": torch.randint(config.sizes.fixed["labels"], (examples,), generator=generator)}


def _inputs(config: ModelConfig, generator: torch.Generator, examples: int) -> dict[str, Tensor]:
    return {read.name: _random(read, generator, examples) for read in config.architecture.inputs(config)}


def _random(read: Input, generator: torch.Generator, examples: int) -> Tensor:
    shape = (examples, *read.shape)
    if read.vocabulary is None:
        return torch.randn(shape, generator=generator)
    return torch.randint(read.vocabulary, shape, generator=generator)
