"""Documents turned into token ids as they are read, each closed by the end-of-text token where there is one."""

from collections.abc import Iterable, Iterator
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from worker.data.lines import Text
from worker.data.packing import Run, Runs
from worker.data.token_files import check_vocabulary
from worker.tokenizer import Tokenizer

CHUNK_CHARACTERS = 1 << 16


class Texts(Protocol):
    """A corpus' documents, in pieces that can be read in any order."""

    @property
    def pieces(self) -> int: ...

    def read(self, piece: int, at: int) -> Iterator[Text]:
        """The texts of a piece from `at`, which is 0 or where a text begins."""
        ...


class TokenisedRuns:
    """The tokens of every text as one run."""

    def __init__(self, texts: Texts, tokenizer: Tokenizer, end: int | None, vocab_size: int) -> None:
        """`end` closes each document, where it is not None."""
        self._texts, self._tokenizer, self._end, self._vocab_size = texts, tokenizer, end, vocab_size

    @property
    def pieces(self) -> int:
        return self._texts.pieces

    def runs(self, piece: int, at: int) -> Iterator[Run]:
        """The runs of a piece from `at`. Raises InvalidData at a token outside of the vocabulary."""
        for texts in _gathered(self._texts.read(piece, at)):
            yield from self._tokenised(texts)

    def _tokenised(self, texts: list[Text]) -> Iterator[Run]:
        chunks = [list(_chunks(text.text)) for text in texts]
        tokens = self._tokens([chunk for parts in chunks for chunk in parts])
        end = [] if self._end is None else [np.asarray([self._end], dtype=np.int32)]
        for text, parts in zip(texts, chunks, strict=True):
            ids = [next(tokens) for _ in parts] + (end if text.ends else [])
            run = np.concatenate(ids) if ids else np.empty(0, dtype=np.int32)
            check_vocabulary(run, self._vocab_size, "The data")
            yield Run(text.at, run)

    def _tokens(self, chunks: list[str]) -> Iterator[NDArray[np.int32]]:
        """Of each chunk; what the tokenizer holds beside them is never more than what a few chunks need."""
        begin = 0
        while begin < len(chunks):
            end, characters = begin, 0
            while end < len(chunks) and characters < CHUNK_CHARACTERS:
                characters += len(chunks[end])
                end += 1
            for ids in self._tokenizer(chunks[begin:end], add_special_tokens=False)["input_ids"]:
                yield np.asarray(ids, dtype=np.int32)
            begin = end


def _gathered(texts: Iterable[Text]) -> Iterator[list[Text]]:
    """Texts of about 64 Ki characters together: tokenizers are slow on one short text at a time."""
    gathered: list[Text] = []
    characters = 0
    for text in texts:
        gathered.append(text)
        characters += len(text.text) + 1
        if characters >= CHUNK_CHARACTERS or len(gathered) >= 1024:
            yield gathered
            gathered, characters = [], 0
    if gathered:
        yield gathered


def _chunks(document: str) -> Iterator[str]:
    """Whole lines, about 64 Ki characters at a time: tokenizers are quadratic on very long texts, and hold a hundred
    bytes for each character. A longer line is cut at a space, or anywhere."""
    begin = 0
    while begin < len(document):
        end = _end_of_chunk(document, begin + CHUNK_CHARACTERS)
        yield document[begin:end]
        begin = end


def _end_of_chunk(document: str, least: int) -> int:
    most = least + CHUNK_CHARACTERS
    closing = document.find("\n", least - 1, most)
    if closing >= 0 or len(document) <= most:
        return closing + 1 or len(document)
    space = document.rfind(" ", least, most)
    return space if space >= 0 else most


class KeptRuns:
    """Runs that stay in memory once their piece has been read, for a corpus that is small."""

    def __init__(self, runs: Runs) -> None:
        self._runs = runs
        self._kept: dict[int, list[Run]] = {}

    @property
    def pieces(self) -> int:
        return self._runs.pieces

    def runs(self, piece: int, at: int) -> Iterator[Run]:
        if piece not in self._kept:
            self._kept[piece] = list(self._runs.runs(piece, 0))
        return (run for run in self._kept[piece] if run.at >= at)
