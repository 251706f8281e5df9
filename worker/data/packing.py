"""Token ids packed into sequences without a gap, from any place of the corpus on."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from growth.errors import InvalidData
from jobs.schema import Data
from worker.corpus import BLOCK, MAX_HELD_OUT, START, Place, piece_order

_BLOCK_TOKENS = 1 << 21
_LEAST_BLOCK = 64


@dataclass(frozen=True, slots=True)
class Run:
    """Token ids that follow each other."""

    at: int
    """Where they begin in their piece; reading can begin there again."""
    ids: NDArray[np.int32]


class Runs(Protocol):
    """A corpus' token ids, in pieces that can be read in any order."""

    @property
    def pieces(self) -> int: ...

    def runs(self, piece: int, at: int) -> Iterator[Run]:
        """The runs of a piece from `at`, which is 0 or where a run begins."""
        ...


class PackedSequences:
    """The sequences of a corpus [length], ids as int32; the first ones of its own order are held out.

    Every epoch packs the rest anew, in an order of the pieces that the seed and the epoch fix; what is too short for a
    sequence at an epoch's end is left out.
    """

    def __init__(self, runs: Runs, data: Data, frame: tuple[int, ...], seed: int, fingerprint: str) -> None:
        """Reads the first block of the corpus. Raises InvalidData where there are no two sequences.

        `frame` are the ids before and after every sequence, or none.
        """
        self._runs, self._frame, self._seed = runs, frame, seed
        self._body = data.sequence_length - len(frame)
        self.fingerprint = fingerprint
        self.block_size = min(BLOCK, max(_LEAST_BLOCK, _BLOCK_TOKENS // data.sequence_length))
        self._first, self._held = 0, START
        self._held_out = self._hold_out(data)

    def held_out(self) -> Sequence[NDArray[np.int32]]:
        return self._held_out

    def examples(self, epoch: int, start: Place) -> Iterator[tuple[Place, NDArray[np.int32]]]:
        """The sequences of an epoch from `start`, each with its own place."""
        pieces = self._runs.pieces - self._first
        return self._packed(piece_order(pieces, self._seed, epoch), start)

    def _hold_out(self, data: Data) -> list[NDArray[np.int32]]:
        in_order = list(islice(self._packed(range(self._runs.pieces), START), self.block_size))
        if len(in_order) < 2:
            raise InvalidData(
                f"The data at {data.uri} has fewer than two sequences of {data.sequence_length} tokens; give more, or "
                "a shorter sequence_length."
            )
        count = min(MAX_HELD_OUT, max(1, round(len(in_order) * data.held_out_fraction)), len(in_order) - 1)
        self._held = in_order[count][0]
        self._first = self._held.piece
        return [row for _, row in in_order[:count]]

    def _packed(self, order: Sequence[int], start: Place) -> Iterator[tuple[Place, NDArray[np.int32]]]:
        pending = _Pending()
        for place, run in self._placed(order, start):
            pending.add(place, run)
            while pending.length >= self._body:
                begin, body = pending.take(self._body)
                yield begin, self._framed(body)

    def _placed(self, order: Sequence[int], start: Place) -> Iterator[tuple[Place, NDArray[np.int32]]]:
        """The ids from `start`, run by run, each with the place of its first."""
        for number in range(start.piece, len(order)):
            piece = order[number] + self._first
            at, skip = (start.offset, start.skip) if number == start.piece else (0, 0)
            if piece == self._first:
                at, skip = max((at, skip), (self._held.offset, self._held.skip))
            for run in self._runs.runs(piece, at):
                if len(run.ids) > skip:
                    yield Place(number, run.at, skip), run.ids[skip:]
                skip = 0

    def _framed(self, body: NDArray[np.int32]) -> NDArray[np.int32]:
        if not self._frame:
            return body
        before, after = self._frame
        return np.concatenate(([before], body, [after])).astype(np.int32)


class _Pending:
    """Runs that wait to be packed."""

    def __init__(self) -> None:
        self.length = 0
        self._runs: list[tuple[Place, NDArray[np.int32]]] = []

    def add(self, place: Place, ids: NDArray[np.int32]) -> None:
        self._runs.append((place, ids))
        self.length += len(ids)

    def take(self, count: int) -> tuple[Place, NDArray[np.int32]]:
        """The first `count` ids and the place of the first of them."""
        begin, parts, left = self._runs[0][0], [], count
        while left:
            place, ids = self._runs.pop(0)
            parts.append(ids[:left])
            if len(ids) > left:
                rest = Place(place.piece, place.offset, place.skip + left)
                self._runs.insert(0, (rest, ids[left:]))
            left -= len(parts[-1])
        self.length -= count
        return begin, np.concatenate(parts)
