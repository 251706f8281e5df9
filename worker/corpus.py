"""Examples as batches: shuffled inside blocks, epoch after epoch, in an order that the seed fixes."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from hashlib import blake2b
from typing import Any, Protocol

import torch
from torch import Tensor

from growth.errors import InvalidData
from growth.fit import Batch

BLOCK = 1024
"""Examples that are shuffled with each other; fewer where they are long."""
MAX_HELD_OUT = 64

Json = int | float | str | bool | None | list["Json"] | dict[str, "Json"]
Example = Any
"""What a stream gives and its own collate takes: a packed sequence, a picture."""
Collate = Callable[[Sequence[Example], torch.Generator], dict[str, Tensor]]
"""A batch of examples, with a generator for what is drawn at random in it."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where an example begins in an epoch."""

    piece: int
    """Number in the epoch's order of the pieces."""
    offset: int
    """Where to read the piece from: in bytes, rows or tokens."""
    skip: int
    """Tokens read from there that still belong to the example before."""


START = Place(0, 0, 0)


class Stream(Protocol):
    """A corpus' examples in an order of their own for each epoch, the same at every call."""

    @property
    def fingerprint(self) -> str:
        """Another one as soon as the data is."""
        ...

    @property
    def block_size(self) -> int:
        """Examples that are held in memory and shuffled with each other."""
        ...

    def held_out(self) -> Sequence[Example]:
        """Examples that are in no epoch."""
        ...

    def examples(self, epoch: int, start: Place) -> Iterator[tuple[Place, Example]]:
        """The examples of an epoch from `start`, each with its own place; at least one in a whole epoch."""
        ...


@dataclass(frozen=True, slots=True)
class _Start:
    """Where a block begins."""

    epoch: int
    block: int
    first: int
    """Examples in all blocks and epochs before it."""
    place: Place


_BEGINNING = _Start(0, 0, 0, START)


@dataclass(frozen=True, slots=True)
class _Block:
    start: _Start
    examples: list[Example]
    """In the order in which batches take them."""

    @property
    def end(self) -> int:
        return self.start.first + len(self.examples)


class Corpus:
    """The batches of a stream. It holds one block in memory, and remembers where each one before it began."""

    def __init__(self, stream: Stream, collate: Collate, *, batch_size: int, seed: int) -> None:
        self._stream, self._collate = stream, collate
        self._batch_size, self._seed = batch_size, seed
        self._starts = [_BEGINNING]
        self._block: _Block | None = None
        self._reader: Iterator[tuple[Place, Example]] | None = None
        self._ahead: tuple[Place, Example] | None = None

    def batch(self, step: int) -> Batch:
        """The batch of step `step`, the same at every call; another than the next costs the reading of its blocks.

        Raises InvalidData where the data that it needs is not what it should be, and what the store raises.
        """
        first = step * self._batch_size
        examples = [self._example(number) for number in range(first, first + self._batch_size)]
        return self._collate(examples, generator(self._seed, f"step {step}"))

    def held_out(self) -> Sequence[Batch]:
        """The held-out examples in batches, the same at every call."""
        held = self._stream.held_out()
        starts = range(0, len(held), self._batch_size)
        return [
            self._collate(held[start : start + self._batch_size], generator(self._seed, f"held out {start}"))
            for start in starts
        ]

    def position(self) -> dict[str, Json]:
        """Where the block begins that was read last, in what JSON can hold; `seek` takes it."""
        start = self._starts[-1] if self._block is None else self._block.start
        return {"data": self._stream.fingerprint, "batch_size": self._batch_size, "seed": self._seed, **_told(start)}

    def seek(self, position: Mapping[str, Json]) -> None:
        """Go to a position of this corpus, so that the steps after it read nothing that lies before it.

        Raises InvalidData where it is the position of another corpus: the data has changed.
        """
        start = _start_of(position)
        if position != {**self.position(), **_told(start)}:
            raise InvalidData("The data is not what it was when the fit began; submit the request again as a new job.")
        self._starts, self._block, self._reader = [_BEGINNING], None, None
        if start != _BEGINNING:
            self._starts.append(start)

    def _example(self, number: int) -> Example:
        known = next(start for start in reversed(self._starts) if start.first <= number)
        block = self._block
        if block is None or block.start != known:
            block = self._opened(known)
        while number >= block.end:
            block = self._next(block)
        return block.examples[number - block.start.first]

    def _opened(self, start: _Start) -> _Block:
        self._block = None
        self._reader = self._stream.examples(start.epoch, start.place)
        self._ahead = next(self._reader, None)
        return self._read(start)

    def _next(self, block: _Block) -> _Block:
        if self._ahead is None:
            return self._opened(_Start(block.start.epoch + 1, 0, block.end, START))
        return self._read(_Start(block.start.epoch, block.start.block + 1, block.end, self._ahead[0]))

    def _read(self, start: _Start) -> _Block:
        """The block that begins at `start`, which is where the reader is."""
        assert self._reader is not None
        # A reader that raises is spent: whoever asks again has the block opened anew.
        self._block = None
        found: list[Example] = []
        while self._ahead is not None and len(found) < self._stream.block_size:
            found.append(self._ahead[1])
            self._ahead = next(self._reader, None)
        assert found, "an epoch has an example"
        order = torch.randperm(len(found), generator=generator(self._seed, f"epoch {start.epoch} block {start.block}"))
        if start.first > self._starts[-1].first:
            self._starts.append(start)
        self._block = _Block(start, [found[index] for index in order.tolist()])
        return self._block


def _told(start: _Start) -> dict[str, Json]:
    return {"epoch": start.epoch, "block": start.block, "first": start.first, "place": dict(asdict(start.place))}


def _start_of(position: Mapping[str, Json]) -> _Start:
    place = position.get("place")
    assert isinstance(place, dict), "a position that `position` gave"
    epoch, block, first = (_whole(position[name]) for name in ("epoch", "block", "first"))
    return _Start(epoch, block, first, Place(*(_whole(place[name]) for name in ("piece", "offset", "skip"))))


def _whole(value: Json) -> int:
    assert isinstance(value, int), "a position that `position` gave"
    return value


def piece_order(pieces: int, seed: int, epoch: int) -> Sequence[int]:
    """The order in which an epoch reads the pieces."""
    order: list[int] = torch.randperm(pieces, generator=generator(seed, f"pieces of epoch {epoch}")).tolist()
    return order


def generator(seed: int, purpose: str) -> torch.Generator:
    """A generator of its own for every seed and purpose."""
    # Hashed, because the generator starts from the lowest 32 bits alone.
    digest = blake2b(f"{seed}/{purpose}".encode(), digest_size=8).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest, "little") >> 1)
