"""Corpora read from files for a checkpoint on disk, and a store that tells what was read of it."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from growth.config import ModelConfig
from jobs.schema import Data
from storage import Storage, Uri
from storage.folder import Folder
from worker.corpus import START, Corpus
from worker.data import load_corpus
from worker.data.packing import PackedSequences

LENGTH = 32


class RecordingStorage(Storage):
    """A real store that notes which bytes were asked for."""

    def __init__(self) -> None:
        super().__init__()
        self.reads: list[tuple[str, int, int | None]] = []

    def read(self, uri: Uri, start: int = 0, length: int | None = None, *, etag: str | None = None) -> bytes:
        self.reads.append((str(uri), start, length))
        return super().read(uri, start, length, etag=etag)


def read(
    checkpoint: Path,
    data: Path | str,
    *,
    batch_size: int = 4,
    seed: int = 0,
    store: Storage | None = None,
    **asked: Any,
) -> Corpus:
    """The corpus at `data` for the model at `checkpoint`; `asked` are fields of the request's `data`."""
    store = store or Storage()
    source = Folder(store, Uri.parse(f"file://{checkpoint}"))
    config = ModelConfig.parse(source.read("config.json"))
    uri = data if isinstance(data, str) else f"file://{data}"
    described = Data(uri=uri, **{"sequence_length": LENGTH, **asked})
    return load_corpus(store, described, source, config, batch_size=batch_size, seed=seed)


@dataclass
class Sequences:
    """All sequences of a packed corpus: the held-out ones, and those of an epoch in the order of its stream."""

    held_out: list[list[int]]
    trained: list[list[int]] = field(default_factory=list)

    @classmethod
    def of(cls, corpus: Corpus, epoch: int = 0) -> "Sequences":
        stream = corpus._stream
        assert isinstance(stream, PackedSequences)
        trained = [row.tolist() for _, row in stream.examples(epoch, START)]
        return cls([row.tolist() for row in stream.held_out()], trained)

    @property
    def all(self) -> list[list[int]]:
        return [*self.held_out, *self.trained]

    @property
    def flat(self) -> list[int]:
        return [token for row in self.all for token in row]


def same(batch: Any, other: Any) -> bool:
    """Whether two batches are equal to the last bit."""
    return set(batch) == set(other) and all(torch.equal(batch[name], other[name]) for name in batch)


def batches(corpus: Corpus, steps: range) -> Iterator[Any]:
    """The batches of these steps."""
    return (corpus.batch(step) for step in steps)
