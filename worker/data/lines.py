"""Text and JSON lines read in pieces of a file, each piece from the first line that begins in it."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from growth.errors import InvalidData
from worker.data.files import DataFile, Window

PIECE_BYTES = 4 << 20
CHUNK_BYTES = 1 << 16
MAX_LINE_BYTES = 64 << 20
_BOM = b"\xef\xbb\xbf"


@dataclass(frozen=True, slots=True)
class Text:
    """Part of a document."""

    at: int
    """Where it begins, counted in what its piece is made of: bytes or rows; reading can begin there again."""
    text: str
    ends: bool
    """Whether the document ends with it."""


@dataclass(frozen=True, slots=True)
class _Piece:
    file: DataFile
    start: int
    end: int
    """Lines that begin in front of it belong to the piece."""


def _pieces(files: Sequence[DataFile]) -> list[_Piece]:
    return [
        _Piece(file, start, min(start + PIECE_BYTES, file.size))
        for file in files
        for start in range(0, file.size, PIECE_BYTES)
    ]


class PlainText:
    """Every file a document; of a longer one than 4 MiB, every 4 MiB, cut at the end of a line."""

    def __init__(self, files: Sequence[DataFile]) -> None:
        self._pieces = _pieces(files)

    @property
    def pieces(self) -> int:
        return len(self._pieces)

    def read(self, piece: int, at: int) -> Iterator[Text]:
        """The texts of a piece from its byte `at`, about 64 KiB at a time: tokenizers are quadratic on long texts."""
        part = self._pieces[piece]
        window = _opened(part, at)
        ends = window.position >= part.end and not at
        while not ends:
            begin = window.position
            length, ends = _chunk(window, part.end)
            if length:
                yield Text(begin - part.start, _decoded(part.file, begin, window.take(length)), ends)


def _chunk(window: Window, end: int) -> tuple[int, bool]:
    """How many bytes the next chunk has, and whether it is the last of a piece that ends at `end`."""
    more = window.fill(CHUNK_BYTES + 1)
    text = bytes(memoryview(window.buffer)[:CHUNK_BYTES])
    closing = text.find(b"\n", max(0, end - 1 - window.position))
    if closing >= 0:
        return closing + 1, True
    if not more:
        return len(text), True
    cut = text.rfind(b"\n") + 1 or text.rfind(b" ") + 1
    return cut or _before_character(window.buffer, CHUNK_BYTES), False


def _before_character(text: bytearray, cut: int) -> int:
    """The last place up to `cut` at which no character of UTF-8 is torn."""
    for back in range(4):
        if text[cut - back] & 0xC0 != 0x80:
            return cut - back
    return cut


class JsonLines:
    """Every line a document, under one key of its object."""

    def __init__(self, files: Sequence[DataFile], text_field: str) -> None:
        self._pieces, self._field = _pieces(files), text_field

    @property
    def pieces(self) -> int:
        return len(self._pieces)

    def read(self, piece: int, at: int) -> Iterator[Text]:
        """The documents of a piece from its byte `at`."""
        part = self._pieces[piece]
        window = _opened(part, at)
        while window.position < part.end and window.fill(1):
            begin = window.position
            line = _decoded(part.file, begin, window.take(_line_length(part.file, window)))
            if line.strip():
                yield Text(begin - part.start, self._text(line, f"The line at byte {begin} of {part.file.name}"), True)

    def _text(self, line: str, place: str) -> str:
        try:
            value = json.loads(line)[self._field]
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            raise InvalidData(
                f"{place} is no JSON object with the key {self._field!r}; name the key that holds the text.",
                field="/data/text_field",
            ) from error
        return checked_text(value, self._field, place)


def checked_text(value: object, field: str, place: str) -> str:
    """`value` where it is text. Raises InvalidData where it is not."""
    if not isinstance(value, str):
        raise InvalidData(
            f"{place} holds {field!r}, but not as text; name the one that holds the text.", field="/data/text_field"
        )
    try:
        value.encode()
    except UnicodeEncodeError as error:
        raise InvalidData(f"{place} holds half a surrogate pair, which is no text; take it out.") from error
    return value


def _opened(piece: _Piece, at: int) -> Window:
    """The piece's file from its byte `at`; at 0, from the first line that begins in it."""
    if at or not piece.start:
        window = Window(piece.file, piece.start + at)
        if not window.position and window.fill(len(_BOM)) and window.buffer.startswith(_BOM):
            window.take(len(_BOM))
        return window
    window = Window(piece.file, piece.start - 1)
    while (found := window.buffer.find(b"\n")) < 0 and window.position < piece.end:
        window.take(len(window.buffer))
        if not window.fill(1):
            break
    window.take(found + 1)
    return window


def _line_length(file: DataFile, window: Window) -> int:
    searched = 0
    while (found := window.buffer.find(b"\n", searched)) < 0:
        searched = len(window.buffer)
        if searched > MAX_LINE_BYTES:
            raise InvalidData(
                f"The line at byte {window.position} of {file.name} has more than {MAX_LINE_BYTES} bytes; split it."
            )
        if not window.fill(searched + 1):
            return searched
    return found + 1


def _decoded(file: DataFile, begin: int, content: bytes) -> str:
    try:
        return content.decode()
    except UnicodeDecodeError as error:
        raise InvalidData(f"{file.name} is not UTF-8 text at byte {begin + error.start}; convert it first.") from error
