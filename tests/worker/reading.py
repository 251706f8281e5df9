"""Corpora read from files for a checkpoint on disk."""

from pathlib import Path
from typing import Any

from growth.config import ModelConfig
from jobs.schema import Data
from storage import Storage, Uri
from storage.folder import Folder
from worker.corpus import Corpus
from worker.data import load_corpus

LENGTH = 32


def read(checkpoint: Path, data: Path, *, batch_size: int = 4, seed: int = 0, **asked: Any) -> Corpus:
    """The corpus at `data` for the model at `checkpoint`; `asked` are fields of the request's `data`."""
    source = Folder(Storage(), Uri.parse(f"file://{checkpoint}"))
    config = ModelConfig.parse(source.read("config.json"))
    described = Data(uri=f"file://{data}", **{"sequence_length": LENGTH, **asked})
    return load_corpus(Storage(), described, source, config, batch_size=batch_size, seed=seed)
