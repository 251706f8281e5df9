"""Labelled images as a corpus: scikit-learn's scans of handwritten digits, in folders and in parquet."""

import json
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from PIL import Image
from transformers import DeiTImageProcessorPil, ViTImageProcessorPil

from growth.errors import InvalidData
from tests.tiny import tiny
from tests.worker.digits import IMAGES as DIGITS
from tests.worker.digits import LABELS, NAMES, SIZE, encoded
from tests.worker.digits import TARGETS as LABELLED
from tests.worker.reading import RecordingStorage, read, same
from worker.corpus import MAX_HELD_OUT

IMAGES, TARGETS = DIGITS[:300], LABELLED[:300]


@pytest.fixture(scope="module")
def vit(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny(tmp_path_factory.mktemp("vit") / "source", "vit", **LABELS, **SIZE)


@pytest.fixture
def folders(tmp_path: Path) -> Path:
    root = tmp_path / "digits"
    for number, (image, label) in enumerate(zip(IMAGES, TARGETS, strict=True)):
        folder = root / NAMES[label]
        folder.mkdir(parents=True, exist_ok=True)
        kind = "jpeg" if number % 5 == 0 else "png"
        (folder / f"{number}.{'JPG' if kind == 'jpeg' else kind}").write_bytes(encoded(image, kind))
    (root / "README.md").write_text("a card, which is passed over")
    return root


def table(folder: Path, images: Any, labels: Any, files: int = 1, **more: Any) -> Path:
    folder.mkdir()
    for number in range(files):
        part = pa.table({"image": images[number::files], "label": labels[number::files]})
        pq.write_table(part, folder / f"{number}.parquet", **more)
    return folder


def epoch(corpus: Any, images: int, batch_size: int) -> list[tuple[int, bytes]]:
    rows: list[tuple[int, bytes]] = []
    for step in range(-(-images // batch_size)):
        batch = corpus.batch(step)
        pixels, labels = batch["pixel_values"], batch["labels"]
        rows += [(int(label), image.numpy().tobytes()) for image, label in zip(pixels, labels, strict=True)]
    return rows[:images]


def held_rows(corpus: Any) -> list[tuple[int, bytes]]:
    return [
        (int(label), image.numpy().tobytes())
        for batch in corpus.held_out()
        for image, label in zip(batch["pixel_values"], batch["labels"], strict=True)
    ]


def expected(image: Image.Image) -> bytes:
    """Resized and normalised by stock transformers."""
    processor = ViTImageProcessorPil(size={"height": 16, "width": 16}, image_mean=[0.5], image_std=[0.5])
    found = processor([image], return_tensors="np")["pixel_values"][0]
    return np.asarray(found, dtype=np.float32).tobytes()


@pytest.mark.parametrize("form", ["images", "parquet", "struct", "names"])
def test_every_image_is_read_once_in_an_epoch(form: str, vit: Path, folders: Path, tmp_path: Path) -> None:
    contents = [encoded(image) for image in IMAGES]
    match form:
        case "images":
            corpus = read(vit, folders, format="images", batch_size=8)
        case "parquet":
            corpus = read(vit, table(tmp_path / "t", contents, TARGETS, 3), format="parquet", batch_size=8)
        case "struct":
            structs = [{"bytes": content, "path": f"{n}.png"} for n, content in enumerate(contents)]
            folder = table(tmp_path / "t", structs, TARGETS, row_group_size=40)
            corpus = read(vit, folder, format="parquet", batch_size=8)
        case _:
            folder = table(tmp_path / "t", contents, [NAMES[label] for label in TARGETS], row_group_size=100)
            corpus = read(vit, folder, format="parquet", batch_size=8)
    batch = corpus.batch(0)
    assert set(batch) == {"pixel_values", "labels"}
    assert (batch["pixel_values"].shape, batch["pixel_values"].dtype) == ((8, 1, 16, 16), torch.float32)
    assert (batch["labels"].shape, batch["labels"].dtype) == ((8,), torch.int64)
    held = held_rows(corpus)
    assert len(held) == 30
    seen = epoch(corpus, 270, 8)
    assert not set(held) & set(seen)
    assert Counter(label for label, _ in held + seen) == Counter(TARGETS)
    if form != "images":
        assert Counter(held + seen) == Counter(
            (label, expected(image)) for image, label in zip(IMAGES, TARGETS, strict=True)
        )
    assert len({label for label, _ in held}) > 5
    assert len({label for label, _ in seen[:32]}) > 5


@pytest.mark.parametrize("form", ["images", "parquet"])
@pytest.mark.parametrize("seed", [0, 5])
def test_a_resumed_corpus_gives_the_same_batches(
    form: str, seed: int, vit: Path, folders: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("worker.data.image_corpus.ImageTable.block_size", 32)
    monkeypatch.setattr("worker.data.image_corpus.ImageFolders.block_size", 32)
    data = folders
    if form == "parquet":
        data = table(tmp_path / "t", [encoded(image) for image in IMAGES], TARGETS, row_group_size=20)
    for step in (0, 3, 20, 33, 34, 60):
        whole = read(vit, data, format=form, seed=seed)
        for number in range(step):
            whole.batch(number)
        position = json.loads(json.dumps(whole.position()))
        store = RecordingStorage()
        other = read(vit, data, format=form, seed=seed, store=store)
        store.reads.clear()
        other.seek(position)
        assert same(other.batch(step), whole.batch(step))
        if form == "images":
            assert len(store.reads) == 4
        assert all(same(whole.batch(number), other.batch(number)) for number in range(step, step + 12))
        assert all(map(same, whole.held_out(), other.held_out()))


def test_at_most_64_images_are_held_out(vit: Path, tmp_path: Path) -> None:
    many = table(tmp_path / "t", [encoded(image) for image in IMAGES] * 4, TARGETS * 4, 4, row_group_size=17)
    corpus = read(vit, many, format="parquet", held_out_fraction=0.5)
    assert len(held_rows(corpus)) == MAX_HELD_OUT
    assert len(epoch(corpus, 1200 - MAX_HELD_OUT, 4)) == 1200 - MAX_HELD_OUT


def test_labels_follow_the_config_or_the_sorted_folders(folders: Path, vit: Path, tmp_path: Path) -> None:
    labels = {name: number for number, name in enumerate(reversed(NAMES))}
    turned = tiny(
        tmp_path / "turned", "vit", **SIZE, label2id=labels, id2label={str(n): name for name, n in labels.items()}
    )
    made_up = tiny(tmp_path / "made-up", "vit", **SIZE, id2label={str(n): f"LABEL_{n}" for n in range(10)})
    for checkpoint, order in ((turned, list(reversed(NAMES))), (made_up, sorted(NAMES))):
        rows = held_rows(read(checkpoint, folders, format="images"))
        truth = held_rows(read(vit, folders, format="images"))
        assert [order[label] for label, _ in rows] == [NAMES[label] for label, _ in truth]


@pytest.mark.parametrize("family", ["vit", "deit"])
def test_images_are_prepared_as_transformers_prepares_them(family: str, tmp_path: Path) -> None:
    checkpoint = tiny(tmp_path / "source", family, **LABELS, image_size=24, patch_size=8, num_channels=3)
    stock = (
        ViTImageProcessorPil(size={"height": 24, "width": 24}, image_mean=[0.4, 0.5, 0.6], resample=3)
        if family == "vit"
        else DeiTImageProcessorPil(size={"height": 30, "width": 30}, crop_size={"height": 24, "width": 24})
    )
    stock.save_pretrained(checkpoint)
    pictures = [Image.effect_mandelbrot((40 + n, 31), (-2, -1, 1, 1), 20 + n).convert("RGB") for n in range(20)]
    data = table(tmp_path / "t", [encoded(picture) for picture in pictures], [n % 10 for n in range(20)])
    corpus = read(checkpoint, data, format="parquet")
    wanted = {np.asarray(stock([picture], return_tensors="np")["pixel_values"][0]).tobytes() for picture in pictures}
    assert {image for _, image in held_rows(corpus) + epoch(corpus, 18, 4)} == wanted


def rows_of(corpus: Any) -> list[tuple[int, bytes]]:
    """What 100 steps read."""
    return epoch(corpus, 400, 4)


def refusal(checkpoint: Path, data: Path, **asked: Any) -> InvalidData:
    with pytest.raises(InvalidData) as caught:
        rows_of(read(checkpoint, data, **asked))
    sentence = str(caught.value)
    assert sentence.endswith(".")
    assert ". " not in sentence
    assert "\n" not in sentence
    return caught.value


def test_an_image_that_can_not_be_decoded(vit: Path, folders: Path) -> None:
    for broken in (b"no image", encoded(IMAGES[0])[:60], b"\x89PNG\r\n\x1a\n"):
        (folders / "one" / "x.png").write_bytes(broken)
        assert "one/x.png can't be decoded" in str(refusal(vit, folders, format="images"))


def test_folders_that_the_config_does_not_know(vit: Path, folders: Path, tmp_path: Path) -> None:
    (folders / "one").rename(folders / "un")
    assert "'un' has the label 'un', which the model's config does not know" in str(
        refusal(vit, folders, format="images")
    )
    made_up = tiny(tmp_path / "made-up", "vit", **SIZE, id2label={str(n): f"LABEL_{n}" for n in range(9)})
    assert "10 folders of labels" in str(refusal(made_up, folders, format="images"))


@pytest.mark.parametrize("label", [10, -1, "ten", None, 1.5, True])
def test_labels_that_the_config_does_not_know(label: Any, vit: Path, tmp_path: Path) -> None:
    data = table(tmp_path / "t", [encoded(image) for image in IMAGES[:30]], [label] * 30)
    error = refusal(vit, data, format="parquet")
    assert f"row group 0 of file://{data}/0.parquet has the label {str(label)!r}" in str(error)


def test_tables_without_images(vit: Path, tmp_path: Path) -> None:
    data = table(tmp_path / "t", ["text"] * 30, TARGETS[:30])
    assert refusal(vit, data, format="parquet").field == "/data/image_field"
    error = refusal(vit, data, format="parquet", label_field="digit")
    assert "has no column 'digit'" in str(error)
    assert error.field == "/data/label_field"
    assert "both name 'label'" in str(refusal(vit, data, format="parquet", image_field="label"))


def test_folders_without_images(vit: Path, tmp_path: Path) -> None:
    assert "There is no data" in str(refusal(vit, tmp_path / "none", format="images"))
    (tmp_path / "flat").mkdir()
    (tmp_path / "flat" / "0.png").write_bytes(encoded(IMAGES[0]))
    assert "a folder of images for each label" in str(refusal(vit, tmp_path / "flat", format="images"))


def test_text_for_a_model_of_images(vit: Path, tmp_path: Path) -> None:
    (tmp_path / "text.txt").write_text("some words")
    error = refusal(vit, tmp_path / "text.txt")
    assert "reads labelled images, and format 'text' holds none; give images or parquet" in str(error)
    assert error.field == "/data/format"


def test_channels_that_no_picture_has(folders: Path, tmp_path: Path) -> None:
    two = tiny(tmp_path / "two", "vit", **LABELS, image_size=16, patch_size=4, num_channels=2)
    assert "images of 2 channels" in str(refusal(two, folders, format="images"))


def test_a_preparation_that_can_not_be_read(folders: Path, tmp_path: Path) -> None:
    checkpoint = tiny(tmp_path / "source", "vit", **LABELS, **SIZE)
    (checkpoint / "preprocessor_config.json").write_text('{"image_processor_type": "Made-up"}')
    assert "preprocessor_config.json can't be read" in str(refusal(checkpoint, folders, format="images"))
    ViTImageProcessorPil(size={"height": 16, "width": 16}).save_pretrained(checkpoint)
    assert "can't be prepared" in str(refusal(checkpoint, folders, format="images"))
    ViTImageProcessorPil(do_resize=False, image_mean=[0.5], image_std=[0.5]).save_pretrained(checkpoint)
    assert "is prepared as [1, 8, 8], and the model reads [1, 16, 16]" in str(
        refusal(checkpoint, folders, format="images")
    )
