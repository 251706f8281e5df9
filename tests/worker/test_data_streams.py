"""Corpora that are not held in memory: read piece by piece, resumed at a position, the same bytes either way."""

import json
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from growth.errors import InvalidData
from storage import S3Settings, Storage, StorageSettings, Unavailable, Uri
from tests.families.family import VOCAB_SIZE
from tests.growth.text import real_text
from tests.servers import S3Server
from tests.worker.reading import LENGTH, RecordingStorage, Sequences, read, same
from worker import data as worker_data
from worker.corpus import piece_order
from worker.data import lines, packing, token_files
from worker.data.files import DataFile
from worker.data.lines import JsonLines, PlainText, Text

TEXT = real_text(120_000)
FORMATS = ["text", "jsonl", "parquet", "tokens"]


@pytest.fixture
def small_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is kept, pieces are of a few documents, blocks of 32 sequences."""
    monkeypatch.setattr(worker_data, "KEPT_BYTES", 0)
    monkeypatch.setattr(lines, "PIECE_BYTES", 10_000)
    monkeypatch.setattr(lines, "CHUNK_BYTES", 1_000)
    monkeypatch.setattr(token_files, "PIECE_TOKENS", 3_000)
    monkeypatch.setattr(token_files, "_RUN_TOKENS", 700)
    monkeypatch.setattr(packing, "BLOCK", 32)


def write(folder: Path, form: str, files: int = 3) -> Path:
    """A corpus of about 120,000 characters, or of 60,000 tokens, in files of unequal sizes."""
    folder.mkdir()
    size = len(TEXT) // files
    for number in range(files):
        text = TEXT[number * size : (number + 1) * size - 1000 * number]
        documents = [line for line in text.split("\n") if line]
        match form:
            case "text":
                (folder / f"{number}.txt").write_text(text)
            case "jsonl":
                (folder / f"{number}.jsonl").write_text("\n".join(json.dumps({"text": line}) for line in documents))
            case "parquet":
                pq.write_table(pa.table({"text": documents}), folder / f"{number}.parquet", row_group_size=150)
            case _:
                ids = np.random.default_rng(number).integers(0, VOCAB_SIZE, 20_000 + number)
                ids.astype("<u2").tofile(folder / f"{number}.bin")
    return folder


def resumed(make: Callable[..., Any], step: int) -> tuple[Any, Any, RecordingStorage]:
    """An uninterrupted corpus after `step` steps, one that goes on in its place, and what that one reads."""
    whole, store = make(), RecordingStorage()
    for number in range(step):
        whole.batch(number)
    position = json.loads(json.dumps(whole.position()))
    other = make(store=store)
    store.reads.clear()
    other.seek(position)
    return whole, other, store


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize("seed", [0, 1, 2**62])
@pytest.mark.usefixtures("small_pieces")
def test_a_resumed_corpus_gives_the_same_batches(form: str, seed: int, llama: Path, tmp_path: Path) -> None:
    folder = write(tmp_path / "corpus", form)

    def make(**more: Any) -> Any:
        return read(llama, folder, format=form, seed=seed, batch_size=5, **more)

    epoch = len(Sequences.of(make()).trained)
    assert epoch > 5 * 32
    for step in (0, 1, 7, 20, epoch // 5 - 1, epoch // 5, epoch // 5 + 1, epoch // 5 + 30):
        whole, other, _ = resumed(make, step)
        assert all(same(whole.batch(number), other.batch(number)) for number in range(step, step + 12))
        assert whole.position() == other.position()
        assert all(map(same, whole.held_out(), other.held_out()))


@pytest.mark.usefixtures("small_pieces")
def test_a_masked_corpus_resumes_too(bert: Path, tmp_path: Path) -> None:
    folder = write(tmp_path / "corpus", "jsonl")
    whole, other, _ = resumed(lambda **more: read(bert, folder, format="jsonl", batch_size=5, **more), 23)
    assert all(same(whole.batch(number), other.batch(number)) for number in range(23, 40))


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.usefixtures("small_pieces")
def test_a_resumed_corpus_reads_nothing_before_its_position(form: str, llama: Path, tmp_path: Path) -> None:
    folder = write(tmp_path / "corpus", form, files=1)
    for step in (10, 25, 40):
        _, other, store = resumed(lambda **more: read(llama, folder, format=form, batch_size=5, **more), step)
        assert not store.reads
        place = other.position()["place"]
        other.batch(step)
        first = store.reads[0][1]
        stream = other._stream
        order = piece_order(stream._runs.pieces - stream._first, 0, other.position()["epoch"])
        piece = order[place["piece"]] + stream._first
        match form:
            case "text" | "jsonl":
                expected = piece * 10_000 + place["offset"]
                # A piece is entered one byte early, to see whether a line begins with it.
                assert first == expected - (place["offset"] == 0 and piece > 0)
            case "tokens":
                assert first == 2 * (piece * 3_000 + place["offset"])
            case _:
                path = next(folder.iterdir())
                column = pq.ParquetFile(path).metadata.row_group(piece).column(0)
                size = path.stat().st_size
                # The file's end tells where its row groups are.
                inside = [start for _, start, length in store.reads if length is not None and start + length < size]
                assert inside[0] == column.dictionary_page_offset


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.usefixtures("small_pieces")
def test_steps_may_be_asked_for_in_any_order(form: str, llama: Path, tmp_path: Path) -> None:
    folder = write(tmp_path / "corpus", form)
    corpus, other = (read(llama, folder, format=form, batch_size=7) for _ in range(2))
    expected = [corpus.batch(step) for step in range(90)]
    for step in (50, 3, 89, 0, 51, 52, 4, 88):
        assert same(other.batch(step), expected[step])
    whole, resumed_corpus, _ = resumed(lambda **more: read(llama, folder, format=form, batch_size=7, **more), 40)
    assert same(resumed_corpus.batch(2), whole.batch(2))
    assert same(resumed_corpus.batch(80), whole.batch(80))


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.usefixtures("small_pieces")
def test_every_epoch_reads_all_and_never_what_is_held_out(form: str, llama: Path, tmp_path: Path) -> None:
    corpus = read(llama, write(tmp_path / "corpus", form), format=form, batch_size=8)
    first, second = Sequences.of(corpus, 0), Sequences.of(corpus, 1)
    assert len(first.trained) == len(second.trained)
    assert first.trained != second.trained
    counts = [np.bincount(np.concatenate(found.trained), minlength=VOCAB_SIZE) for found in (first, second)]
    # What is too short for a sequence at the end of an epoch is another one each time.
    assert np.abs(counts[0] - counts[1]).sum() < 2 * LENGTH
    epoch = len(first.trained)
    rows = [row for step in range(epoch // 8) for row in corpus.batch(step)["labels"].tolist()]
    assert sorted(rows) == sorted(first.trained[: len(rows) // 32 * 32] + rows[len(rows) // 32 * 32 :])
    assert rows != first.trained[: len(rows)]
    assert not set(map(tuple, rows)) & set(map(tuple, first.held_out))


@pytest.mark.usefixtures("small_pieces")
def test_the_held_out_sequences_take_one_block_to_find(llama: Path, tmp_path: Path) -> None:
    folder, store = write(tmp_path / "corpus", "tokens"), RecordingStorage()
    read(llama, folder, format="tokens", store=store)
    tokens = sum(length or 0 for name, _, length in store.reads if name.endswith(".bin")) // 2
    assert tokens < 2 * 32 * LENGTH


def test_a_large_file_is_not_held_in_memory(llama: Path, tmp_path: Path) -> None:
    count = 40 << 20
    with (tmp_path / "ids.bin").open("wb") as file:
        for _ in range(40):
            (np.arange(1 << 20) % VOCAB_SIZE).astype("<u2").tofile(file)
    assert (tmp_path / "ids.bin").stat().st_size == 2 * count
    store = RecordingStorage()
    tracemalloc.start()
    corpus = read(llama, tmp_path / "ids.bin", format="tokens", batch_size=256, sequence_length=128, store=store)
    for step in range(12):
        corpus.batch(step)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 8 << 20
    assert sum(length or 0 for _, _, length in store.reads) < 4 << 20


@pytest.mark.usefixtures("small_pieces")
def test_a_position_of_other_data_is_refused(llama: Path, tmp_path: Path) -> None:
    folder = write(tmp_path / "corpus", "tokens")
    corpus = read(llama, folder, format="tokens")
    corpus.batch(20)
    position = corpus.position()
    with pytest.raises(InvalidData, match="not what it was"):
        read(llama, folder, format="tokens", seed=1).seek(position)
    (folder / "9.bin").write_bytes(bytes(4_000))
    with pytest.raises(InvalidData, match="not what it was"):
        read(llama, folder, format="tokens").seek(position)


@pytest.mark.usefixtures("small_pieces")
def test_a_token_outside_of_the_vocabulary_is_told_when_it_is_read(llama: Path, tmp_path: Path) -> None:
    ids = np.zeros(30_000, dtype="<u2")
    ids[-1] = VOCAB_SIZE
    ids.tofile(tmp_path / "ids.bin")
    corpus = read(llama, tmp_path / "ids.bin", format="tokens", batch_size=32)
    with pytest.raises(InvalidData, match=f"ids.bin has token id {VOCAB_SIZE}"):
        corpus.batch(40)


class FailsOnce(RecordingStorage):
    """A store that does not answer the read of a given number."""

    fails_at = -1

    def read(self, uri: Uri, start: int = 0, length: int | None = None, *, etag: str | None = None) -> bytes:
        found = super().read(uri, start, length, etag=etag)
        if len(self.reads) == self.fails_at:
            raise Unavailable("The store does not answer.")
        return found


@pytest.mark.usefixtures("small_pieces")
def test_a_step_may_be_asked_for_again_after_the_store_failed(llama: Path, tmp_path: Path) -> None:
    folder = write(tmp_path / "corpus", "tokens")
    whole = read(llama, folder, format="tokens")
    expected = [whole.batch(step) for step in range(40)]
    for later in (1, 2, 4):
        store = FailsOnce()
        corpus = read(llama, folder, format="tokens", store=store)
        store.fails_at = len(store.reads) + later
        failures = 0
        for step, batch in enumerate(expected):
            try:
                found = corpus.batch(step)
            except Unavailable:
                failures += 1
                found = corpus.batch(step)
            assert same(found, batch)
        assert failures == 1


def data_file(path: Path) -> DataFile:
    return DataFile(Storage(), Storage().head(Uri.parse(f"file://{path}")))


@pytest.mark.parametrize("piece", [1, 2, 3, 7, 10, 64, 1000])
@pytest.mark.parametrize("chunk", [5, 8, 50])
def test_pieces_of_text_are_the_text(piece: int, chunk: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lines, "PIECE_BYTES", piece)
    monkeypatch.setattr(lines, "CHUNK_BYTES", chunk)
    text = (
        "\n\none\ntwo words\n\nÅngström größer 漢字漢字漢字漢字漢字 🙂🙂🙂 a-line-that-is-longer-than-a-chunk\r\nlast"
    )
    for content in (text, text + "\n", "\n", "x", "\n" * 9):
        (tmp_path / "text").write_text("\ufeff" * (piece > 3) + content, newline="")
        plain = PlainText([data_file(tmp_path / "text")])
        parts = [list(plain.read(number, 0)) for number in range(plain.pieces)]
        assert "".join(part.text for parts_ in parts for part in parts_) == content
        for number, found in enumerate(parts):
            assert [part.ends for part in found] == [False] * (len(found) - 1) + [True] * bool(found)
            for index, part in enumerate(found):
                assert list(plain.read(number, part.at)) == found[index if part.at else 0 :]


@pytest.mark.parametrize("piece", [1, 2, 3, 9, 20, 21, 22, 64, 1000])
def test_pieces_of_json_lines_are_the_lines(piece: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lines, "PIECE_BYTES", piece)
    texts = ["one", "", "zwölf Boxkämpfer", "漢字" * 20, "x" * 100, "last"]
    for ending in ("", "\n", "\n\n  \n"):
        content = "\n".join(json.dumps({"text": text}, ensure_ascii=False) for text in texts) + ending
        (tmp_path / "lines").write_text(content)
        documents = JsonLines([data_file(tmp_path / "lines")], "text")
        parts: list[list[Text]] = [list(documents.read(number, 0)) for number in range(documents.pieces)]
        assert [part.text for found in parts for part in found] == texts
        for number, found in enumerate(parts):
            for index, part in enumerate(found):
                assert list(documents.read(number, part.at)) == found[index if part.at else 0 :]


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.usefixtures("small_pieces")
def test_objects_in_a_bucket_give_the_batches_of_files(form: str, moto: S3Server, llama: Path, tmp_path: Path) -> None:
    folder = write(tmp_path / "corpus", form)
    settings = S3Settings(
        endpoint_url=moto.endpoint_url, access_key_id=moto.access_key, secret_access_key=moto.secret_key
    )
    storage = Storage(StorageSettings(s3=settings))
    for path in folder.iterdir():
        storage.put(Uri("s3", moto.bucket, f"{tmp_path.name}/{path.name}"), path.read_bytes())
    local = read(llama, folder, format=form)
    remote = read(llama, f"s3://{moto.bucket}/{tmp_path.name}", format=form, store=storage)
    assert all(same(local.batch(step), remote.batch(step)) for step in (0, 1, 30))
    assert all(map(same, local.held_out(), remote.held_out()))
