"""Parquet files read by ranges, row group by row group."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from growth.errors import InvalidData
from worker.data.files import READ_BYTES, DataFile, SeekableFile
from worker.data.lines import Text, checked_text

MAX_LISTED_FILES = 64
MAX_TOLD_COLUMNS = 20
MAX_VALUE_BYTES = 32 << 20
"""Of one row on average, and of what may be packed ever so tightly: a writer keeps one word for all of its rows."""
MAX_RATIO = 250
"""Unpacked to packed; of text it is 3 to 10."""
_BATCH_ROWS = 8
"""A row may hold what `MAX_VALUE_BYTES` allows, again and again."""


@dataclass(frozen=True, slots=True)
class Row:
    """The asked columns of a row."""

    number: int
    """In its piece."""
    place: str
    """What a message calls it by."""
    values: tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class _Piece:
    file: DataFile
    group: int | None
    rows: int | None


class Table:
    """Parquet files in pieces: row groups, or whole files where there are more than 64, whose ends are not all read."""

    def __init__(self, files: Sequence[DataFile], fields: dict[str, str]) -> None:
        """`fields` are the columns to read, each with the request's field that names it.

        Raises InvalidData where a file is no parquet, or lacks a column.
        """
        self._fields = fields
        self._pieces = [piece for file in files for piece in self._split(file, whole=len(files) > MAX_LISTED_FILES)]

    def _split(self, file: DataFile, *, whole: bool) -> list[_Piece]:
        if whole:
            return [_Piece(file, None, None)]
        with _reading(file):
            opened = self._opened(file)
            return [
                _Piece(file, group, opened.metadata.row_group(group).num_rows) for group in range(opened.num_row_groups)
            ]

    @property
    def pieces(self) -> int:
        return len(self._pieces)

    @property
    def counted(self) -> bool:
        """Whether `count` costs nothing, all ends of files having been read."""
        return all(piece.rows is not None for piece in self._pieces)

    def count(self, piece: int) -> int:
        """Rows of a piece, of its first row group where it is a whole file."""
        part = self._pieces[piece]
        if part.rows is not None:
            return part.rows
        with _reading(part.file):
            opened = self._opened(part.file)
            return int(opened.metadata.row_group(0).num_rows) if opened.num_row_groups else 0

    def rows(self, piece: int, at: int) -> Iterator[Row]:
        """The rows of a piece from row `at`; the whole row group that it lies in is read."""
        file, chosen = self._pieces[piece].file, self._pieces[piece].group
        with _reading(file):
            opened = self._opened(file)
            first = 0
            for group in range(opened.num_row_groups) if chosen is None else (chosen,):
                count = opened.metadata.row_group(group).num_rows
                if first + count > at:
                    yield from self._group(opened, file, group, first, at)
                first += count

    def _group(self, opened: pq.ParquetFile, file: DataFile, group: int, first: int, at: int) -> Iterator[Row]:
        number = first
        batches = opened.iter_batches(_BATCH_ROWS, row_groups=[group], columns=list(self._fields), use_threads=False)
        for batch in batches:
            begin = max(0, min(at - number, batch.num_rows))
            columns = [batch.column(name).slice(begin).to_pylist() for name in self._fields]
            for row, values in enumerate(zip(*columns, strict=True), number + begin):
                place = f"Row {row - first} of row group {group} of {file.name}"
                yield Row(row, place, values)
            number += batch.num_rows

    def _opened(self, file: DataFile) -> pq.ParquetFile:
        opened = pq.ParquetFile(SeekableFile(file), buffer_size=READ_BYTES, pre_buffer=False)
        for name, field in self._fields.items():
            if name not in opened.schema_arrow.names:
                columns = ", ".join(column[:40] for column in opened.schema_arrow.names[:MAX_TOLD_COLUMNS])
                more = len(opened.schema_arrow.names) - MAX_TOLD_COLUMNS
                told = columns + (f" and {more} more" if more > 0 else "")
                raise InvalidData(f"{file.name} has no column {name!r}; its columns are {told}.", field=field)
        _check_sizes(opened.metadata, file, self._fields)
        return opened


def _check_sizes(metadata: pq.FileMetaData, file: DataFile, fields: dict[str, str]) -> None:
    """Refuses what unpacks to more than its length lets expect, and rows that no document fills."""
    for group in range(metadata.num_row_groups):
        rows = metadata.row_group(group)
        for number in range(rows.num_columns):
            column = rows.column(number)
            name, unpacked = column.path_in_schema.partition(".")[0], column.total_uncompressed_size
            if name not in fields or unpacked <= MAX_VALUE_BYTES:
                continue
            if unpacked > MAX_RATIO * column.total_compressed_size or unpacked > MAX_VALUE_BYTES * rows.num_rows:
                raise InvalidData(
                    f"Column {name!r} of row group {group} of {file.name} unpacks to {unpacked} bytes from "
                    f"{column.total_compressed_size}; write it again with shorter rows.",
                    field=fields[name],
                )


@contextmanager
def _reading(file: DataFile) -> Iterator[None]:
    try:
        yield
    except (pa.ArrowException, OSError) as error:
        raise InvalidData(f"{file.name} is no whole parquet file; it may be cut short, so write it again.") from error


class TableTexts:
    """Every row a document, under one column."""

    def __init__(self, files: Sequence[DataFile], text_field: str) -> None:
        self._field = text_field
        self._table = Table(files, {text_field: "/data/text_field"})

    @property
    def pieces(self) -> int:
        return self._table.pieces

    def read(self, piece: int, at: int) -> Iterator[Text]:
        """The documents of a piece from row `at`."""
        for row in self._table.rows(piece, at):
            yield Text(row.number, checked_text(row.values[0], self._field, row.place), True)
