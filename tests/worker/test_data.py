"""A corpus as it is read: text, JSON lines and token ids, packed, split, shuffled and masked; and what is refused."""

import json
from collections.abc import Callable
from itertools import permutations
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from torch import Tensor
from transformers import AutoTokenizer

from growth.fit import IGNORED_LABEL
from tests.families.family import VOCAB_SIZE
from tests.growth.text import real_text
from tests.tiny import BERT_SPECIALS
from tests.worker.reading import LENGTH, Sequences, read, same
from worker.corpus import MAX_HELD_OUT, Corpus
from worker.data.masking import Masking

TEXT = real_text(30_000)
END = 1
CLS, SEP, MASK = (BERT_SPECIALS.index(token) for token in ("[CLS]", "[SEP]", "[MASK]"))


def tokens_of(checkpoint: Path, text: str) -> list[int]:
    ids: list[int] = AutoTokenizer.from_pretrained(checkpoint)(text, add_special_tokens=False)["input_ids"]
    return ids


def flat(corpus: Corpus) -> list[int]:
    return Sequences.of(corpus).flat


def test_text_is_packed_without_a_gap(llama: Path, tmp_path: Path) -> None:
    (tmp_path / "text.txt").write_text(TEXT)
    corpus = read(llama, tmp_path / "text.txt")
    whole = [*tokens_of(llama, TEXT), END]
    assert flat(corpus) == whole[: len(whole) // LENGTH * LENGTH]
    assert {len(row) for row in Sequences.of(corpus).all} == {LENGTH}


def test_a_text_of_many_chunks_gives_the_tokens_of_its_lines(llama: Path, tmp_path: Path) -> None:
    text = real_text(200_000)
    (tmp_path / "text.txt").write_text(text)
    decoded = AutoTokenizer.from_pretrained(llama).decode(flat(read(llama, tmp_path / "text.txt")))
    assert isinstance(decoded, str)
    assert text.startswith(decoded)
    assert len(decoded) > 199_000


def test_files_under_a_prefix_are_read_in_another_order_each_epoch(llama: Path, tmp_path: Path) -> None:
    parts = {"b.txt": TEXT[:5_000], "a/2.txt": TEXT[5_000:9_000], "a/1.txt": TEXT[9_000:12_000], "c.txt": ""}
    for name, text in parts.items():
        (tmp_path / "corpus" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "corpus" / name).write_text(text)
    documents = {name: [*tokens_of(llama, parts[name]), END] for name in ("a/1.txt", "a/2.txt", "b.txt")}
    corpus = read(llama, tmp_path / "corpus")
    held = [token for row in Sequences.of(corpus).held_out for token in row]
    assert held == documents["a/1.txt"][: len(held)]
    documents["a/1.txt"] = documents["a/1.txt"][len(held) :]
    orders = set()
    for epoch in range(12):
        told = [token for row in Sequences.of(corpus, epoch).trained for token in row]
        packed = {order: [token for name in order for token in documents[name]] for order in permutations(documents)}
        found = [order for order, whole in packed.items() if whole[: len(whole) // LENGTH * LENGTH] == told]
        assert len(found) == 1
        orders.add(found[0])
    assert len(orders) > 3


def test_json_lines_are_documents_of_their_own(llama: Path, tmp_path: Path) -> None:
    # U+2028 and U+0085 may stand in a JSON string as they are, and are no ends of lines.
    texts = [*TEXT.split("\n")[:60], "one\u2028two", "three\x85four"]
    lines = "\r\n".join(json.dumps({"body": text, "id": 7}, ensure_ascii=False) for text in texts)
    (tmp_path / "lines.jsonl").write_bytes(b"\xef\xbb\xbf" + lines.encode() + b"\n\n  \n")
    corpus = read(llama, tmp_path / "lines.jsonl", format="jsonl", text_field="body")
    whole = [token for text in texts for token in [*tokens_of(llama, text), END]]
    assert flat(corpus) == whole[: len(whole) // LENGTH * LENGTH]


@pytest.mark.parametrize("dtype", ["<u2", ">i4", "<i8", "u8"])
def test_token_arrays_are_taken_as_they_are(dtype: str, llama: Path, tmp_path: Path) -> None:
    ids = np.random.default_rng(0).integers(0, VOCAB_SIZE, (5, 100))
    np.save(tmp_path / "a.npy", ids[:2].astype(dtype))
    np.save(tmp_path / "b.npy", ids[2:].flatten().astype(dtype))
    (llama_without := tmp_path / "model").mkdir()
    for name in ("config.json", "model.safetensors"):
        (llama_without / name).write_bytes((llama / name).read_bytes())
    (corpus_folder := tmp_path / "corpus").mkdir()
    for name in ("a.npy", "b.npy"):
        (tmp_path / name).rename(corpus_folder / name)
    corpus = read(llama_without, corpus_folder, format="tokens")
    sequences = Sequences.of(corpus)
    held = [token for row in sequences.held_out for token in row]
    assert held == ids.flatten().tolist()[: len(held)]
    a, b = ids[:2].flatten().tolist()[len(held) :], ids[2:].flatten().tolist()
    trained = [token for row in sequences.trained for token in row]
    assert trained in [whole[: len(whole) // LENGTH * LENGTH] for whole in (a + b, b + a)]
    assert corpus.batch(0)["input_ids"].dtype is torch.int64


@pytest.mark.parametrize("dtype", ["uint16", "uint32", "int32", "int64"])
def test_raw_token_files_are_read_in_the_dtype_that_is_named(dtype: str, llama: Path, tmp_path: Path) -> None:
    ids = np.random.default_rng(0).integers(0, VOCAB_SIZE, 500)
    (tmp_path / "corpus").mkdir()
    (tmp_path / "corpus" / "ids.bin").write_bytes(ids.astype(np.dtype(dtype).newbyteorder("<")).tobytes())
    (tmp_path / "corpus" / "ids.idx").write_bytes(b"an index, which is passed over")
    corpus = read(llama, tmp_path / "corpus", format="tokens", token_dtype=dtype)
    assert flat(corpus) == ids.tolist()[: 500 // LENGTH * LENGTH]


@pytest.mark.parametrize("kind", ["string", "large_string", "dictionary"])
def test_rows_of_parquet_are_documents(kind: str, llama: Path, tmp_path: Path) -> None:
    texts = [text for text in TEXT.split("\n") if text][:300]
    column = pa.array(texts, pa.large_string() if kind == "large_string" else pa.string())
    table = pa.table({"body": column.dictionary_encode() if kind == "dictionary" else column, "n": range(len(texts))})
    (tmp_path / "corpus").mkdir()
    pq.write_table(table, tmp_path / "corpus" / "a.parquet", row_group_size=len(texts))
    (tmp_path / "corpus" / "README.md").write_text("a card, which is passed over")
    corpus = read(llama, tmp_path / "corpus", format="parquet", text_field="body")
    whole = [token for text in texts for token in [*tokens_of(llama, text), END]]
    assert flat(corpus) == whole[: len(whole) // LENGTH * LENGTH]


def test_masked_sequences_are_framed(bert: Path, tmp_path: Path) -> None:
    (tmp_path / "text.txt").write_text(TEXT)
    corpus = read(bert, tmp_path / "text.txt")
    rows = Sequences.of(corpus).all
    assert {(row[0], row[-1], len(row)) for row in rows} == {(CLS, SEP, LENGTH)}
    body = [token for row in rows for token in row[1:-1]]
    assert body == tokens_of(bert, TEXT)[: len(body)]
    assert len(tokens_of(bert, TEXT)) - len(body) < LENGTH


def rows_seen(corpus: Corpus, steps: range) -> list[tuple[int, ...]]:
    return [tuple(row) for step in steps for row in corpus.batch(step)["labels"].tolist()]


@pytest.fixture
def numbered(llama: Path, tmp_path: Path) -> Callable[..., Corpus]:
    """Corpora of so many sequences, of which no two are equal."""

    def made(sequences: int, **asked: Any) -> Corpus:
        ids = np.random.default_rng(5).integers(0, VOCAB_SIZE, sequences * 8)
        np.save(tmp_path / "ids.npy", ids)
        return read(llama, tmp_path / "ids.npy", format="tokens", sequence_length=8, **asked)

    return made


@pytest.mark.parametrize("batch_size", [1, 3, 5, 20, 64])
def test_an_epoch_reads_every_training_sequence_once(batch_size: int, numbered: Callable[..., Corpus]) -> None:
    corpus = numbered(25, held_out_fraction=0.2, batch_size=batch_size)
    trained = {tuple(row) for row in Sequences.of(corpus).trained}
    assert len(trained) == 20
    rows = rows_seen(corpus, range(60 // batch_size + 1))
    for epoch in range(len(rows) // 20):
        assert set(rows[20 * epoch : 20 * (epoch + 1)]) == trained
    assert rows[:20] != rows[20:40]
    assert rows[20:40] != rows[40:60]


def test_the_seed_fixes_the_order(numbered: Callable[..., Corpus]) -> None:
    first, again, other = (numbered(40, batch_size=6, seed=seed) for seed in (3, 3, 4))
    assert rows_seen(first, range(12)) == rows_seen(again, range(12))
    assert rows_seen(first, range(12)) != rows_seen(other, range(12))
    assert rows_seen(first, range(7, 8)) == rows_seen(first, range(12))[42:48]


@pytest.mark.parametrize(("fraction", "held_out"), [(0.1, 6), (0.5, 30), (0.001, 1)])
def test_the_first_sequences_are_held_out(fraction: float, held_out: int, numbered: Callable[..., Corpus]) -> None:
    corpus = numbered(60, held_out_fraction=fraction)
    kept = [tuple(row) for batch in corpus.held_out() for row in batch["labels"].tolist()]
    assert len(kept) == held_out
    assert kept == [tuple(row) for row in Sequences.of(corpus).all[:held_out]]
    assert not set(kept) & set(rows_seen(corpus, range(60)))


@pytest.mark.parametrize(("sequences", "fraction"), [(400, 0.5), (5_000, 0.1)])
def test_at_most_64_sequences_are_held_out(sequences: int, fraction: float, numbered: Callable[..., Corpus]) -> None:
    corpus = numbered(sequences, held_out_fraction=fraction, batch_size=10)
    batches = corpus.held_out()
    assert [len(batch["labels"]) for batch in batches] == [10] * 6 + [4]
    assert sum(len(batch["labels"]) for batch in batches) == MAX_HELD_OUT
    assert batches[1]["labels"].tolist() == Sequences.of(corpus).all[10:20]
    assert len(Sequences.of(corpus).trained) == sequences - MAX_HELD_OUT


def test_two_sequences_are_enough(llama: Path, tmp_path: Path) -> None:
    np.save(tmp_path / "ids.npy", np.arange(2 * LENGTH))
    corpus = read(llama, tmp_path / "ids.npy", format="tokens", held_out_fraction=0.5)
    assert rows_seen(corpus, range(2)) == [tuple(range(LENGTH, 2 * LENGTH))] * 8
    assert [batch["labels"].tolist() for batch in corpus.held_out()] == [[list(range(LENGTH))]]


def test_a_causal_batch_tells_every_token(numbered: Callable[..., Corpus]) -> None:
    batch = numbered(10, batch_size=3).batch(0)
    assert set(batch) == {"input_ids", "labels"}
    assert torch.equal(batch["input_ids"], batch["labels"])
    assert batch["input_ids"].dtype is torch.int64


SPECIALS = tuple(range(5))


def masked(rows: Tensor, seed: int = 0) -> dict[str, Tensor]:
    masking = Masking(mask_token_id=MASK, special_ids=SPECIALS, vocab_size=VOCAB_SIZE)
    return masking.corrupt(rows, torch.Generator().manual_seed(seed))


def test_the_shares_of_masking() -> None:
    rows = torch.randint(5, VOCAB_SIZE, (1_000, 200), generator=torch.Generator().manual_seed(1))
    batch = masked(rows)
    told = batch["labels"] != IGNORED_LABEL
    assert torch.equal(batch["labels"][told], rows[told])
    assert torch.equal(batch["input_ids"][~told], rows[~told])
    # 200,000 tokens: four standard deviations are 0.0032 of all, and 0.01 of those told.
    assert told.float().mean() == pytest.approx(0.15, abs=0.0032)
    fates = batch["input_ids"][told]
    assert (fates == MASK).float().mean() == pytest.approx(0.8 + 0.1 / VOCAB_SIZE, abs=0.01)
    assert (fates == rows[told]).float().mean() == pytest.approx(0.1 + 0.1 / VOCAB_SIZE, abs=0.01)
    random = fates[(fates != MASK) & (fates != rows[told])]
    assert len(set(random.tolist())) > 0.99 * (VOCAB_SIZE - 1)


def test_special_tokens_are_never_told() -> None:
    rows = torch.randint(0, 8, (500, 40), generator=torch.Generator().manual_seed(2))
    rows[:, 20] = 7
    labels = masked(rows)["labels"]
    assert set(labels.flatten().tolist()) == {IGNORED_LABEL, 5, 6, 7}
    assert (labels != IGNORED_LABEL).any(-1).all()


def test_every_sequence_has_something_to_tell() -> None:
    rows = torch.full((200, 8), CLS)
    rows[:100, 3] = 9
    labels = masked(rows)["labels"]
    assert (labels[:100, 3] == 9).all()
    assert (labels[:100] != IGNORED_LABEL).sum() == 100
    assert ((labels[100:] != IGNORED_LABEL).sum(-1) >= 1).all()


@pytest.mark.parametrize("seed", [1, 2**62])
def test_masks_are_the_same_at_every_call_and_others_at_every_step(seed: int, bert: Path, tmp_path: Path) -> None:
    (tmp_path / "text.txt").write_text(TEXT)
    corpus, again, other = (read(bert, tmp_path / "text.txt", batch_size=16, seed=s) for s in (seed, seed, seed + 1))
    specials = torch.tensor(AutoTokenizer.from_pretrained(bert).all_special_ids)
    for step in (0, 1, 40):
        batch = corpus.batch(step)
        assert same(batch, again.batch(step))
        assert not torch.isin(batch["labels"], specials).any()
    assert not torch.equal(corpus.batch(0)["input_ids"], other.batch(0)["input_ids"])
    assert all(map(same, corpus.held_out(), again.held_out()))
    epoch = len(Sequences.of(corpus).trained)
    rows = [row for step in range(2 * epoch // 16) for row in corpus.batch(step)["labels"]]
    assert len({tuple(torch.nonzero(row != IGNORED_LABEL).flatten().tolist()) for row in rows}) > 0.8 * len(rows)
