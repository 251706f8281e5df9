"""What the models learn: the standard library of the Python that runs, byte by byte, and scikit-learn's digits."""

import random
import sysconfig
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.datasets import load_digits
from torch import Tensor
from torch.nn.functional import pad

from benchmarks.savings.recipe import MASK_ID, Recipe
from growth.fit import Batch, Batches
from worker.corpus import generator
from worker.data.masking import Masking

HELD_OUT_SHARE = 0.05
HELD_OUT_DIGITS = 397
HELD_OUT_BATCHES = 16
NOT_LIBRARY = {"site-packages", "test", "tests", "idle_test", "ensurepip", "pydoc_data"}
"""Folders left out; `pydoc_data` is one large file of English, and held out would be nearly all that is."""
BRIGHTEST = 16.0


def batches_of(recipe: Recipe, seed: int) -> Batches:
    """Training batches in the order of `seed`, and held-out ones that are the same for every seed."""
    if recipe.config["model_type"] == "vit":
        return Digits(recipe.batch_size, seed)
    masking = Masking(MASK_ID, (), MASK_ID) if recipe.model_class == "BertForMaskedLM" else None
    training, held = standard_library(recipe.length)
    return Text(Rows(training, recipe.batch_size, seed, masking), Rows(held, recipe.batch_size, 0, masking))


@dataclass(frozen=True)
class Rows:
    """Sequences [n, length] as batches: epoch after epoch, each in an order of its own over all of them."""

    sequences: NDArray[np.int64]
    batch_size: int
    seed: int
    masking: Masking | None

    def batch(self, step: int) -> Batch:
        count = len(self.sequences)
        places = range(step * self.batch_size, (step + 1) * self.batch_size)
        orders = {epoch: self._order(epoch) for epoch in {place // count for place in places}}
        ids = torch.from_numpy(self.sequences[[int(orders[place // count][place % count]) for place in places]])
        if self.masking is not None:
            return self.masking.corrupt(ids, generator(self.seed, f"step {step}"))
        return {"input_ids": ids, "labels": ids}

    def _order(self, epoch: int) -> Tensor:
        return torch.randperm(len(self.sequences), generator=generator(self.seed, f"epoch {epoch}"))


@dataclass(frozen=True)
class Text:
    """Sequences of bytes."""

    training: Rows
    held: Rows

    def batch(self, step: int) -> Batch:
        return self.training.batch(step)

    def held_out(self) -> Sequence[Batch]:
        return [self.held.batch(number) for number in range(HELD_OUT_BATCHES)]


@cache
def standard_library(length: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Sequences [n, length] of bytes to train on, and those of other files, with 5 % of the bytes, held out."""
    files = sorted(Path(sysconfig.get_path("stdlib")).rglob("*.py"))
    texts = [file.read_bytes() for file in files if not NOT_LIBRARY & {*file.parts}]
    random.Random(0).shuffle(texts)
    wanted, held = HELD_OUT_SHARE * sum(map(len, texts)), 0
    while sum(map(len, texts[:held])) < wanted:
        held += 1
    return _packed(texts[held:], length), _packed(texts[:held], length)


def _packed(texts: Sequence[bytes], length: int) -> NDArray[np.int64]:
    ids = np.frombuffer(b"\n".join(texts), dtype=np.uint8)
    whole = len(ids) // length * length
    return ids[:whole].reshape(-1, length).astype(np.int64)


@dataclass(frozen=True)
class Digits:
    """Handwritten digits of 8 x 8 pixels; those to train on are moved by up to a pixel, or they were soon known."""

    batch_size: int
    seed: int

    def batch(self, step: int) -> Batch:
        images, labels = _digits()
        draw = torch.Generator().manual_seed(self.seed * 1_000_003 + step)
        rows = torch.randint(len(images) - HELD_OUT_DIGITS, (self.batch_size,), generator=draw)
        moves = torch.randint(3, (self.batch_size, 2), generator=draw).tolist()
        padded = pad(images[rows], (1, 1, 1, 1))
        moved = [image[:, y : y + 8, x : x + 8] for image, (y, x) in zip(padded, moves, strict=True)]
        return {"pixel_values": torch.stack(moved), "labels": labels[rows]}

    def held_out(self) -> Sequence[Batch]:
        images, labels = _digits()
        return [{"pixel_values": images[-HELD_OUT_DIGITS:], "labels": labels[-HELD_OUT_DIGITS:]}]


@cache
def _digits() -> tuple[Tensor, Tensor]:
    """Images [n, 1, 8, 8] and what they show [n], in a seeded order."""
    found = load_digits()
    order = np.random.default_rng(0).permutation(len(found.target))
    images = torch.from_numpy(found.images[order]).float().unsqueeze(1) / BRIGHTEST
    return images * 2 - 1, torch.from_numpy(found.target[order]).long()
