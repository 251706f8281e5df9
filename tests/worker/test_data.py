"""A corpus as it is read: text, JSON lines and token ids, packed, split, shuffled and masked; and what is refused."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor
from transformers import AutoTokenizer

from growth.fit import IGNORED_LABEL
from tests.families.family import VOCAB_SIZE
from tests.growth.text import real_text
from tests.tiny import BERT_SPECIALS
from tests.worker.reading import LENGTH, read
from worker.corpus import MAX_HELD_OUT_SEQUENCES, Corpus, Masking

TEXT = real_text(30_000)
END = 1
CLS, SEP, MASK = (BERT_SPECIALS.index(token) for token in ("[CLS]", "[SEP]", "[MASK]"))


def tokens_of(checkpoint: Path, text: str) -> list[int]:
    ids: list[int] = AutoTokenizer.from_pretrained(checkpoint)(text, add_special_tokens=False)["input_ids"]
    return ids


def flat(corpus: Corpus) -> list[int]:
    return [int(token) for token in corpus.sequences.flatten()]


def test_text_is_packed_without_a_gap(llama: Path, tmp_path: Path) -> None:
    (tmp_path / "text.txt").write_text(TEXT)
    corpus = read(llama, tmp_path / "text.txt")
    whole = [*tokens_of(llama, TEXT), END]
    assert corpus.sequences.shape == (len(whole) // LENGTH, LENGTH)
    assert flat(corpus) == whole[: corpus.sequences.size]


def test_a_text_of_many_chunks_gives_the_tokens_of_its_lines(llama: Path, tmp_path: Path) -> None:
    text = real_text(200_000)
    (tmp_path / "text.txt").write_text(text)
    decoded = AutoTokenizer.from_pretrained(llama).decode(flat(read(llama, tmp_path / "text.txt")))
    assert isinstance(decoded, str)
    assert text.startswith(decoded)
    assert len(decoded) > 199_000


def test_files_under_a_prefix_are_read_in_the_order_of_their_names(llama: Path, tmp_path: Path) -> None:
    parts = {"b.txt": TEXT[:5_000], "a/2.txt": TEXT[5_000:9_000], "a/1.txt": TEXT[9_000:12_000], "c.txt": ""}
    for name, text in parts.items():
        (tmp_path / "corpus" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "corpus" / name).write_text(text)
    whole = [token for name in ("a/1.txt", "a/2.txt", "b.txt") for token in [*tokens_of(llama, parts[name]), END]]
    assert flat(read(llama, tmp_path / "corpus")) == whole[: len(whole) // LENGTH * LENGTH]


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
    np.save(tmp_path / "b.npy", np.asfortranarray(ids[2:].astype(dtype)))
    (llama_without := tmp_path / "model").mkdir()
    for name in ("config.json", "model.safetensors"):
        (llama_without / name).write_bytes((llama / name).read_bytes())
    (corpus_folder := tmp_path / "corpus").mkdir()
    for name in ("a.npy", "b.npy"):
        (tmp_path / name).rename(corpus_folder / name)
    corpus = read(llama_without, corpus_folder, format="tokens")
    assert flat(corpus) == ids.flatten().tolist()[: 500 // LENGTH * LENGTH]
    assert corpus.sequences.dtype == np.int64


def test_masked_sequences_are_framed(bert: Path, tmp_path: Path) -> None:
    (tmp_path / "text.txt").write_text(TEXT)
    corpus = read(bert, tmp_path / "text.txt")
    assert (corpus.sequences[:, 0] == CLS).all()
    assert (corpus.sequences[:, -1] == SEP).all()
    body = corpus.sequences[:, 1:-1].flatten().tolist()
    assert body == tokens_of(bert, TEXT)[: len(body)]
    assert len(tokens_of(bert, TEXT)) - len(body) < LENGTH


def rows_seen(corpus: Corpus, steps: range) -> list[tuple[int, ...]]:
    return [tuple(row) for step in steps for row in corpus.batch(step)["labels"].tolist()]


def numbered(sequences: int, *, held_out: int, batch_size: int, seed: int = 0) -> Corpus:
    """Sequences that are told apart by their first token."""
    tokens = np.arange(sequences * 8, dtype=np.int64).reshape(sequences, 8)
    return Corpus(tokens, held_out, batch_size, seed, None)


@pytest.mark.parametrize("batch_size", [1, 3, 5, 20, 64])
def test_an_epoch_reads_every_training_sequence_once(batch_size: int) -> None:
    corpus = numbered(25, held_out=5, batch_size=batch_size)
    trained = {tuple(row) for row in corpus.sequences[:20].tolist()}
    rows = rows_seen(corpus, range(60 // batch_size + 1))
    for epoch in range(len(rows) // 20):
        assert set(rows[20 * epoch : 20 * (epoch + 1)]) == trained
    assert rows[:20] != rows[20:40]
    assert rows[20:40] != rows[40:60]


def test_the_seed_fixes_the_order() -> None:
    first, again, other = (numbered(40, held_out=4, batch_size=6, seed=seed) for seed in (3, 3, 4))
    assert rows_seen(first, range(12)) == rows_seen(again, range(12))
    assert rows_seen(first, range(12)) != rows_seen(other, range(12))
    assert rows_seen(first, range(7, 8)) == rows_seen(first, range(12))[42:48]


@pytest.mark.parametrize(("fraction", "held_out"), [(0.1, 6), (0.5, 30), (0.001, 1)])
def test_the_held_out_end_is_never_trained_on(fraction: float, held_out: int, llama: Path, tmp_path: Path) -> None:
    np.save(tmp_path / "ids.npy", np.arange(60 * LENGTH) % 251)
    corpus = read(llama, tmp_path / "ids.npy", format="tokens", held_out_fraction=fraction)
    assert corpus.held_out_sequences == held_out
    kept = [tuple(row) for batch in corpus.held_out() for row in batch["labels"].tolist()]
    assert kept == [tuple(row) for row in corpus.sequences[-held_out:].tolist()]
    assert not set(kept) & set(rows_seen(corpus, range(60)))


def test_at_most_64_held_out_sequences_are_measured() -> None:
    corpus = numbered(400, held_out=200, batch_size=10)
    batches = corpus.held_out()
    assert [len(batch["labels"]) for batch in batches] == [10] * 6 + [4]
    assert sum(len(batch["labels"]) for batch in batches) == MAX_HELD_OUT_SEQUENCES
    assert torch.equal(batches[0]["labels"], torch.from_numpy(corpus.sequences[200:210]))


def test_two_sequences_are_enough(llama: Path, tmp_path: Path) -> None:
    np.save(tmp_path / "ids.npy", np.arange(2 * LENGTH))
    corpus = read(llama, tmp_path / "ids.npy", format="tokens", held_out_fraction=0.5)
    assert rows_seen(corpus, range(2)) == [tuple(range(LENGTH))] * 8
    assert [batch["labels"].tolist() for batch in corpus.held_out()] == [[list(range(LENGTH, 2 * LENGTH))]]


def test_a_causal_batch_tells_every_token() -> None:
    batch = numbered(10, held_out=1, batch_size=3).batch(0)
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
        assert all(torch.equal(batch[name], again.batch(step)[name]) for name in batch)
        assert not torch.isin(batch["labels"], specials).any()
    assert not torch.equal(corpus.batch(0)["input_ids"], other.batch(0)["input_ids"])
    for batch, same in zip(corpus.held_out(), again.held_out(), strict=True):
        assert all(torch.equal(batch[name], same[name]) for name in batch)
    epoch = len(corpus.sequences) - corpus.held_out_sequences
    rows = [row for step in range(2 * epoch // 16) for row in corpus.batch(step)["labels"]]
    assert len({tuple(torch.nonzero(row != IGNORED_LABEL).flatten().tolist()) for row in rows}) > 0.8 * len(rows)
