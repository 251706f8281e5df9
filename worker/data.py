"""Text, JSON lines or token ids in storage, read and packed into the sequences of a corpus."""

import io
import json
from collections.abc import Iterable, Iterator

import numpy as np
from numpy.typing import NDArray

from growth.config import ModelConfig, read_int
from growth.errors import InvalidData
from growth.source import Folder
from jobs.schema import Data
from storage import NotFound, ObjectInfo, ObjectStore, Uri
from worker.corpus import Corpus, Masking
from worker.tokenizer import Tokenizer, load_tokenizer

MAX_CORPUS_BYTES = 4 << 30
_CHUNK_CHARACTERS = 1 << 16


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


class _Files:
    """The corpus' files: one object, or all under a prefix in the order of their names."""

    def __init__(self, store: ObjectStore, uri: Uri) -> None:
        self._store, self._uri = store, uri
        self._infos = {str(info.uri): info for info in self._listed()}
        if not self._infos:
            raise InvalidData(f"There is no data at {uri}; give a file, or a prefix with files under it.")
        total = sum(info.size for info in self._infos.values())
        if total == 0:
            raise InvalidData(f"The data at {uri} is empty; give a file with text or token ids in it.")
        if total > MAX_CORPUS_BYTES:
            raise InvalidData(f"The data at {uri} has {total} bytes; at most {MAX_CORPUS_BYTES} are read, give a part.")

    def _listed(self) -> Iterator[ObjectInfo]:
        try:
            yield self._store.head(self._uri)
        except NotFound:
            yield from self._store.list(self._uri)

    @property
    def names(self) -> list[str]:
        """Of the files with something in them: stores keep empty objects for folders."""
        return [name for name, info in self._infos.items() if info.size]

    def read(self, name: str) -> bytes:
        info = self._infos[name]
        return self._store.read(info.uri, etag=info.etag)

    def text(self, name: str) -> str:
        try:
            return self.read(name).decode("utf-8-sig")
        except UnicodeDecodeError as error:
            raise InvalidData(f"{name} is not UTF-8 text at byte {error.start}; convert it first.") from error


def _checked_length(data: Data, config: ModelConfig) -> int:
    positions = config.sizes.fixed.get("positions") or read_int(config.raw, "max_position_embeddings", 2048)
    if data.sequence_length > positions:
        raise InvalidData(
            f"sequence_length {data.sequence_length} is more than the model's {positions} positions; ask for fewer.",
            field="/data/sequence_length",
        )
    return data.sequence_length


def _documents(files: _Files, data: Data) -> Iterator[str]:
    for name in files.names:
        text = files.text(name)
        if data.format == "text":
            yield text
            continue
        # Not splitlines: JSON strings may hold U+2028 and the like as they are.
        for number, line in enumerate(text.split("\n"), 1):
            if line.strip():
                yield _field(name, number, line, data.text_field)


def _field(name: str, number: int, line: str, text_field: str) -> str:
    try:
        value = json.loads(line)[text_field]
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise InvalidData(
            f"Line {number} of {name} is no JSON object with the key {text_field!r}; name the key that holds the text.",
            field="/data/text_field",
        ) from error
    if not isinstance(value, str):
        raise InvalidData(
            f"Line {number} of {name} holds {text_field!r}, but not as text; name the key that holds the text.",
            field="/data/text_field",
        )
    if not _encodable(value):
        raise InvalidData(f"Line {number} of {name} holds half a surrogate pair, which is no text; take it out.")
    return value


def _encodable(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


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
    except Exception as error:  # numpy tells bytes that are no array in half a dozen ways
        raise InvalidData(f"{name} is no .npy array; write token ids with numpy.save.") from error
    if not isinstance(array, np.ndarray) or not np.issubdtype(array.dtype, np.integer):
        raise InvalidData(f"{name} does not hold an array of whole numbers, which token ids are.")
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
            f"The data has token id {low if low < 0 else high}, but the model's vocab_size is "
            f"{config.sizes.vocab_size}; give tokens of its own tokenizer."
        )


def _masking(tokenizer: Tokenizer | None, config: ModelConfig) -> Masking:
    if tokenizer is None or tokenizer.mask_token_id is None:
        raise InvalidData(
            "The source's tokenizer has no mask token, which a masked-LM fit needs; add it to the tokenizer's files."
        )
    return Masking(tokenizer.mask_token_id, tuple(tokenizer.all_special_ids), config.sizes.vocab_size)
