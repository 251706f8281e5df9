"""A corpus as packed sequences of token ids, in an order that the seed fixes, with a held-out end."""

import io
import json
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from transformers import AutoTokenizer

from growth.config import ModelConfig
from growth.errors import InvalidData
from growth.fit import IGNORED_LABEL, Batch
from growth.source import Folder
from jobs.schema import Data
from storage.errors import NotFound
from storage.store import ObjectStore
from storage.uri import Uri

TOKENIZER_FILES = (
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.txt",
    "vocab.json",
    "merges.txt",
    "tokenizer.model",
    "spiece.model",
    "chat_template.jinja",
)
MAX_CORPUS_BYTES = 4 << 30
MAX_HELD_OUT_SEQUENCES = 64
MASKED_SHARE = 0.15
_CHUNK_CHARACTERS = 1 << 16


class Tokenizer(Protocol):
    """What is used of a transformers tokenizer."""

    eos_token_id: int | None
    cls_token_id: int | None
    sep_token_id: int | None
    mask_token_id: int | None

    def __call__(self, text: list[str], *, add_special_tokens: bool) -> Any: ...


@dataclass(frozen=True, slots=True)
class Masking:
    """BERT's masked-LM corruption (arXiv 1810.04805, section 3.1)."""

    mask_token_id: int
    special_ids: tuple[int, ...]
    vocab_size: int

    def corrupt(self, ids: Tensor, generator: torch.Generator) -> dict[str, Tensor]:
        """15 % of the tokens are to be told: of these 80 % are masked, 10 % random, 10 % left as they are."""
        chosen = torch.rand(ids.shape, generator=generator) < MASKED_SHARE
        for special in self.special_ids:
            chosen &= ids != special
        chosen[~chosen.any(-1), ids.shape[1] // 2] = True
        fate = torch.rand(ids.shape, generator=generator)
        random_ids = torch.randint(self.vocab_size, ids.shape, generator=generator)
        corrupted = torch.where(chosen & (fate < 0.8), self.mask_token_id, ids)
        corrupted = torch.where(chosen & (fate >= 0.9), random_ids, corrupted)
        return {"input_ids": corrupted, "labels": torch.where(chosen, ids, IGNORED_LABEL)}


@dataclass(frozen=True, slots=True)
class Corpus:
    """Packed sequences [n, length] of token ids, and how a batch is made of them."""

    sequences: NDArray[np.int64]
    held_out_sequences: int
    batch_size: int
    seed: int
    masking: Masking | None

    def batch(self, step: int) -> Batch:
        """The batch of step `step`: epochs over the training sequences, each in an order of its own."""
        trained = len(self.sequences) - self.held_out_sequences
        places = range(step * self.batch_size, (step + 1) * self.batch_size)
        rows = [int(self._order(place // trained, trained)[place % trained]) for place in places]
        return self._batch(self.sequences[rows], f"step {step}")

    def held_out(self) -> Sequence[Batch]:
        """The held-out sequences, at most 64 of them, in batches; masks are the same at every call."""
        held = self.sequences[-self.held_out_sequences :][:MAX_HELD_OUT_SEQUENCES]
        starts = range(0, len(held), self.batch_size)
        return [self._batch(held[start : start + self.batch_size], f"held out {start}") for start in starts]

    def _order(self, epoch: int, trained: int) -> Tensor:
        return torch.randperm(trained, generator=_generator(self.seed, f"epoch {epoch}"))

    def _batch(self, rows: NDArray[np.int64], purpose: str) -> dict[str, Tensor]:
        ids = torch.from_numpy(np.ascontiguousarray(rows))
        if self.masking is not None:
            return self.masking.corrupt(ids, _generator(self.seed, purpose))
        return {"input_ids": ids, "labels": ids}


def _generator(seed: int, purpose: str) -> torch.Generator:
    mixed = int.from_bytes(f"{seed}/{purpose}".encode(), "little") % (2**63 - 25)
    return torch.Generator().manual_seed(mixed)


def load_corpus(
    store: ObjectStore, data: Data, source: Folder, config: ModelConfig, *, batch_size: int, seed: int
) -> Corpus:
    """Read, tokenise and pack the corpus at `data.uri` for a model with `config`.

    Raises InvalidData where it is empty, too short for two sequences, not in the format named or not of this
    vocabulary, or where the source carries no tokenizer to read it with.
    """
    length = _checked_length(data, config)
    files = _Files(store, Uri.parse(data.uri))
    masked = config.architecture.objective == "masked_lm"
    tokenizer = load_tokenizer(source) if masked or data.format != "tokens" else None
    if data.format == "tokens":
        ids = np.concatenate([_token_array(name, files.read(name)) for name in files.names])
        specials: tuple[int, ...] = ()
    else:
        assert tokenizer is not None
        specials = _frame(tokenizer) if masked else ()
        ids = _tokenise(tokenizer, _documents(files, data), end=None if masked else tokenizer.eos_token_id)
    sequences = _pack(ids, length, specials, data)
    _check_vocabulary(sequences, config)
    held_out = min(max(1, round(len(sequences) * data.held_out_fraction)), len(sequences) - 1)
    return Corpus(sequences, held_out, batch_size, seed, _masking(tokenizer, config) if masked else None)


def load_tokenizer(source: Folder) -> Tokenizer:
    """The source's own tokenizer. Raises InvalidData where there is none, or transformers can't read it."""
    present = [name for name in TOKENIZER_FILES if name in set(source.names())]
    with tempfile.TemporaryDirectory() as folder:
        for name in (*present, "config.json"):
            Path(folder, name).write_bytes(source.read(name))
        try:
            if not present:
                raise ValueError("no tokenizer files")
            tokenizer: Tokenizer = AutoTokenizer.from_pretrained(
                folder, local_files_only=True, trust_remote_code=False, clean_up_tokenization_spaces=False
            )
        except Exception as error:
            raise InvalidData(
                "The source has no tokenizer that transformers can read, so text can't be turned into tokens.",
                hint='Put tokenizer.json beside the weights, or give token ids: {"format": "tokens"}.',
            ) from error
    return tokenizer


class _Files:
    """The corpus' files: one object, or all under a prefix in the order of their names."""

    def __init__(self, store: ObjectStore, uri: Uri) -> None:
        self._store, self._uri = store, uri
        self._infos = {str(info.uri): info for info in self._listed()}
        if not self._infos:
            raise InvalidData(f"There is no data at {uri}; give a file, or a prefix with files under it.")
        total = sum(info.size for info in self._infos.values())
        if total == 0:
            raise InvalidData(f"The data at {uri} is empty.")
        if total > MAX_CORPUS_BYTES:
            raise InvalidData(f"The data at {uri} has {total} bytes; at most {MAX_CORPUS_BYTES} are read, give a part.")

    def _listed(self) -> Iterator[Any]:
        try:
            yield self._store.head(self._uri)
        except NotFound:
            yield from self._store.list(self._uri)

    @property
    def names(self) -> list[str]:
        return list(self._infos)

    def read(self, name: str) -> bytes:
        info = self._infos[name]
        return self._store.read(info.uri, etag=info.etag)

    def text(self, name: str) -> str:
        try:
            return self.read(name).decode()
        except UnicodeDecodeError as error:
            raise InvalidData(f"{name} is not UTF-8 text at byte {error.start}; convert it first.") from error


def _checked_length(data: Data, config: ModelConfig) -> int:
    positions = config.sizes.fixed.get("positions") or int(str(config.raw.get("max_position_embeddings", 2048)))
    if data.sequence_length > positions:
        raise InvalidData(
            f"sequence_length {data.sequence_length} is more than the model's {positions} positions.",
            field="/data/sequence_length",
        )
    return data.sequence_length


def _documents(files: _Files, data: Data) -> Iterator[str]:
    for name in files.names:
        text = files.text(name)
        if data.format == "text":
            yield text
            continue
        for number, line in enumerate(text.splitlines(), 1):
            if line.strip():
                yield _field(name, number, line, data.text_field)


def _field(name: str, number: int, line: str, text_field: str) -> str:
    try:
        value = json.loads(line)[text_field]
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise InvalidData(
            f"Line {number} of {name} is no JSON object with the key {text_field!r}.", field="/data/text_field"
        ) from error
    if not isinstance(value, str):
        raise InvalidData(f"Line {number} of {name} holds {text_field!r}, but not as text.", field="/data/text_field")
    return value


def _tokenise(tokenizer: Tokenizer, documents: Iterable[str], end: int | None) -> NDArray[np.int64]:
    parts: list[NDArray[np.int64]] = []
    for document in documents:
        for chunk in _chunks(document):
            parts.append(np.asarray(tokenizer([chunk], add_special_tokens=False)["input_ids"][0], dtype=np.int64))
        if end is not None:
            parts.append(np.asarray([end], dtype=np.int64))
    return np.concatenate(parts) if parts else np.empty(0, dtype=np.int64)


def _chunks(document: str) -> Iterator[str]:
    """Whole lines, about 64 Ki characters at a time: tokenizers are quadratic on very long texts."""
    lines: list[str] = []
    gathered = 0
    for line in document.splitlines(keepends=True):
        lines.append(line)
        gathered += len(line)
        if gathered >= _CHUNK_CHARACTERS:
            yield "".join(lines)
            lines, gathered = [], 0
    if lines:
        yield "".join(lines)


def _token_array(name: str, content: bytes) -> NDArray[np.int64]:
    try:
        array = np.load(io.BytesIO(content), allow_pickle=False)
    except (ValueError, OSError, EOFError) as error:
        raise InvalidData(f"{name} is no .npy array; write token ids with numpy.save.") from error
    if not isinstance(array, np.ndarray) or not np.issubdtype(array.dtype, np.integer):
        raise InvalidData(f"{name} does not hold whole numbers; token ids are whole numbers.")
    return array.reshape(-1).astype(np.int64)


def _frame(tokenizer: Tokenizer) -> tuple[int, ...]:
    """The ids that stand before and after every sequence of a masked-LM model."""
    if tokenizer.cls_token_id is None or tokenizer.sep_token_id is None:
        return ()
    return (tokenizer.cls_token_id, tokenizer.sep_token_id)


def _pack(ids: NDArray[np.int64], length: int, frame: tuple[int, ...], data: Data) -> NDArray[np.int64]:
    body = length - len(frame)
    count = len(ids) // body
    if count < 2:
        raise InvalidData(
            f"The data at {data.uri} has {len(ids)} tokens, fewer than two sequences of {length}; give more text, or a "
            "shorter sequence_length."
        )
    packed = ids[: count * body].reshape(count, body)
    if not frame:
        return packed
    ends = [np.full((count, 1), token, dtype=np.int64) for token in frame]
    return np.concatenate([ends[0], packed, ends[1]], axis=1)


def _check_vocabulary(sequences: NDArray[np.int64], config: ModelConfig) -> None:
    low, high = int(sequences.min()), int(sequences.max())
    if low < 0 or high >= config.sizes.vocab_size:
        raise InvalidData(
            f"The data has token id {low if low < 0 else high}; the model's vocab_size is {config.sizes.vocab_size}."
        )


def _masking(tokenizer: Tokenizer | None, config: ModelConfig) -> Masking:
    if tokenizer is None or tokenizer.mask_token_id is None:
        raise InvalidData("The source's tokenizer has no mask token, which a masked-LM fit needs.")
    specials = (tokenizer.cls_token_id, tokenizer.sep_token_id)
    known = tuple(token for token in specials if token is not None)
    return Masking(tokenizer.mask_token_id, known, config.sizes.vocab_size)
