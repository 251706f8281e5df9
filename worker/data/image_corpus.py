"""Images in folders and in parquet, labelled where the model has a classifier, as the stream of a corpus."""

from collections.abc import Iterator, Sequence
from functools import partial
from hashlib import blake2b
from typing import Any

import numpy as np
import torch
from torch import Tensor

from growth.config import ModelConfig
from growth.errors import InvalidData
from growth.source import Folder
from jobs.schema import Data
from storage import ObjectStore, Uri
from worker.corpus import BLOCK, MAX_HELD_OUT, Corpus, Place, Stream, piece_order
from worker.data.files import DataFile, fingerprint, list_files
from worker.data.labels import label_number, named_labels, number_folders
from worker.data.pictures import Picture, Preparation
from worker.data.tables import Row, Table

ENDINGS = (".png", ".jpg", ".jpeg")
HELD_OUT_GROUPS = 8


def load_images(
    store: ObjectStore, data: Data, source: Folder, config: ModelConfig, *, batch_size: int, seed: int
) -> Corpus:
    """The corpus of images at `data.uri`, of which one is decoded now.

    Raises InvalidData where there are no two images, or one that is no image or has a label that the model lacks.
    """
    preparation = Preparation(source, config)
    stream = (ImageFolders if data.format == "images" else ImageTable)(store, data, config, seed)
    preparation.pixels(stream.held_out()[0])

    def collate(pictures: Sequence[Picture], _: torch.Generator) -> dict[str, Tensor]:
        pixels = torch.from_numpy(np.stack([preparation.pixels(picture) for picture in pictures]))
        labels = [picture.label for picture in pictures if picture.label is not None]
        return {"pixel_values": pixels, "labels": torch.tensor(labels)} if labels else {"pixel_values": pixels}

    return Corpus(stream, collate, batch_size=batch_size, seed=seed)


def _held_out_count(images: int, data: Data) -> int:
    if images < 2:
        raise InvalidData(f"The data at {data.uri} has fewer than two images; give more.")
    return min(MAX_HELD_OUT, max(1, round(images * data.held_out_fraction)), images - 1)


class ImageFolders(Stream):
    """A folder for each label; every epoch reads the files in a wholly shuffled order."""

    block_size = BLOCK

    def __init__(self, store: ObjectStore, data: Data, config: ModelConfig, seed: int) -> None:
        uri = Uri.parse(data.uri)
        depth = str(uri).rstrip("/").count("/") + 2
        files = [file for file in list_files(store, uri, ENDINGS) if file.name.count("/") == depth]
        if not files:
            raise InvalidData(f"There are no images at {uri}; give a prefix with a folder of images for each label.")
        numbers = number_folders(sorted({_folder(file) for file in files}), config)
        # A hash, so that neither a label's folder nor the seed decides what is held out.
        files.sort(
            key=lambda file: blake2b(file.name.removeprefix(str(uri)).lstrip("/").encode(), digest_size=16).digest()
        )
        pictures = [Picture(file.name, numbers[_folder(file)], file.read_whole) for file in files]
        held = _held_out_count(len(pictures), data)
        self._held, self._trained, self._seed = pictures[:held], pictures[held:], seed
        self._fingerprint = fingerprint(files)

    @property
    def fingerprint(self) -> str:
        return self._fingerprint

    def held_out(self) -> Sequence[Picture]:
        return self._held

    def examples(self, epoch: int, start: Place) -> Iterator[tuple[Place, Picture]]:
        """The pictures from `start`, not read yet."""
        order = piece_order(len(self._trained), self._seed, epoch)
        return ((Place(number, 0, 0), self._trained[order[number]]) for number in range(start.piece, len(order)))


def _folder(file: DataFile) -> str:
    return file.info.uri.parent.name


class ImageTable(Stream):
    """A row for each image; the row groups in an order that the seed and the epoch fix."""

    block_size = BLOCK

    def __init__(self, store: ObjectStore, data: Data, config: ModelConfig, seed: int) -> None:
        files = list_files(store, Uri.parse(data.uri), (".parquet",))
        self._fingerprint = fingerprint(files)
        if data.image_field == data.label_field and not config.headless:
            raise InvalidData(
                f"image_field and label_field both name {data.image_field!r}; name a column for each.",
                field="/data/label_field",
            )
        label = {} if config.headless else {data.label_field: "/data/label_field"}
        self._table = Table(files, {data.image_field: "/data/image_field", **label})
        self._known, self._labels = named_labels(config), config.sizes.fixed["labels"]
        self._seed = seed
        self._held = self._hold_out(data)
        self._held_out: list[Picture] | None = None

    @property
    def fingerprint(self) -> str:
        return self._fingerprint

    def held_out(self) -> Sequence[Picture]:
        if self._held_out is None:
            chosen = sorted({piece for piece, _ in self._held})
            rows = ((piece, row) for piece in chosen for row in self._table.rows(piece, 0))
            self._held_out = [self._picture(row) for piece, row in rows if (piece, row.number) in self._held]
        return self._held_out

    def examples(self, epoch: int, start: Place) -> Iterator[tuple[Place, Picture]]:
        """The pictures from `start`, encoded."""
        order = piece_order(self._table.pieces, self._seed, epoch)
        for number in range(start.piece, len(order)):
            for row in self._table.rows(order[number], start.offset if number == start.piece else 0):
                if (order[number], row.number) not in self._held:
                    yield Place(number, row.number, 0), self._picture(row)

    def _hold_out(self, data: Data) -> set[tuple[int, int]]:
        """Pieces and rows, evenly from a few row groups: images often lie in the order of their labels."""
        pieces = self._table.pieces
        spread = [number * pieces // HELD_OUT_GROUPS for number in range(HELD_OUT_GROUPS)]
        counts = {piece: self._table.count(piece) for piece in (range(pieces) if self._table.counted else spread)}
        count = _held_out_count(sum(counts.values()), data)
        chosen = [piece for piece in sorted(set(spread)) if counts[piece]] or [p for p in counts if counts[p]][:1]
        held = set()
        for number, piece in enumerate(chosen):
            share = min(count * (number + 1) // len(chosen) - count * number // len(chosen), counts[piece])
            held |= {(piece, index * counts[piece] // share) for index in range(share)}
        return held

    def _picture(self, row: Row) -> Picture:
        image, *labels = row.values
        content: Any = image.get("bytes") if isinstance(image, dict) else image
        if not isinstance(content, bytes):
            raise InvalidData(
                f"{row.place} holds no image as bytes; name the column that holds encoded images.",
                field="/data/image_field",
            )
        numbers = [label_number(label, self._known, self._labels, row.place) for label in labels]
        return Picture(row.place, numbers[0] if numbers else None, partial(bytes, content))
