"""Data that no corpus can be made of is refused in one clear sentence."""

import io
import json
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from growth.errors import InvalidConfig, InvalidData
from tests.families.family import POSITIONS, VOCAB_SIZE
from tests.growth.text import real_text
from tests.worker.reading import Sequences, read

TEXT = real_text(4_000)


def refusal(checkpoint: Path, data: Path, **asked: Any) -> InvalidData:
    with pytest.raises(InvalidData) as caught:
        read(checkpoint, data, **asked)
    sentence = str(caught.value)
    assert sentence.endswith(".")
    assert ". " not in sentence
    assert "\n" not in sentence
    return caught.value


def saved(array: Any) -> bytes:
    file = io.BytesIO()
    np.save(file, array, allow_pickle=True)
    return file.getvalue()


def zipped() -> bytes:
    file = io.BytesIO()
    np.savez(file, ids=np.arange(500))
    return file.getvalue()


def huge() -> bytes:
    """A small file whose header speaks of ten terabytes."""
    file = io.BytesIO()
    header = {"descr": "<i8", "fortran_order": False, "shape": (10**13,)}
    np.lib.format.write_array_header_1_0(file, header)
    return file.getvalue() + bytes(64)


def copied(checkpoint: Path, folder: Path, **changes: str) -> Path:
    """The checkpoint without its tokenizer, with files put in by name (dots as `_dot_`)."""
    folder.mkdir()
    for name in ("config.json", "model.safetensors"):
        (folder / name).write_bytes((checkpoint / name).read_bytes())
    for name, text in changes.items():
        (folder / name.replace("_dot_", ".")).write_text(text)
    return folder


def test_there_is_nothing(llama: Path, tmp_path: Path) -> None:
    assert "There is no data" in str(refusal(llama, tmp_path / "none"))


def test_an_empty_prefix(llama: Path, tmp_path: Path) -> None:
    (tmp_path / "corpus").mkdir()
    assert "There is no data" in str(refusal(llama, tmp_path / "corpus"))


@pytest.mark.parametrize("form", ["text", "jsonl", "tokens"])
def test_an_empty_file(form: str, llama: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").touch()
    assert "is empty" in str(refusal(llama, tmp_path / "empty", format=form))


def test_empty_files_under_a_prefix(llama: Path, tmp_path: Path) -> None:
    (tmp_path / "corpus").mkdir()
    for name in ("a.txt", "b.txt"):
        (tmp_path / "corpus" / name).touch()
    assert "is empty" in str(refusal(llama, tmp_path / "corpus"))


@pytest.mark.parametrize("blank", ["\n\n  \n", json.dumps({"text": ""})])
def test_json_lines_without_text(blank: str, llama: Path, tmp_path: Path) -> None:
    (tmp_path / "lines.jsonl").write_text(blank)
    assert "fewer than two sequences" in str(refusal(llama, tmp_path / "lines.jsonl", format="jsonl"))


@pytest.mark.parametrize(
    ("line", "word"),
    [
        ('{"body": "x"}', "no JSON object with the key 'text'"),
        ('{"text": "x"', "no JSON object"),
        ("just words", "no JSON object"),
        ('["text"]', "no JSON object"),
        ('"text"', "no JSON object"),
        ("null", "no JSON object"),
        ("[" * 100_000, "no JSON object"),
        ('{"text": 7}', "not as text"),
        ('{"text": null}', "not as text"),
        ('{"text": ["x"]}', "not as text"),
    ],
)
def test_a_line_that_holds_no_text(line: str, word: str, llama: Path, tmp_path: Path) -> None:
    (tmp_path / "lines.jsonl").write_text("\n".join([json.dumps({"text": TEXT}), "", line]))
    error = refusal(llama, tmp_path / "lines.jsonl", format="jsonl")
    assert word in str(error)
    assert "The line at byte" in str(error)
    assert error.field == "/data/text_field"


def test_half_a_surrogate_pair(llama: Path, tmp_path: Path) -> None:
    (tmp_path / "lines.jsonl").write_text('{"text": "\\ud83d"}')
    assert "surrogate" in str(refusal(llama, tmp_path / "lines.jsonl", format="jsonl"))


@pytest.mark.parametrize("form", ["text", "jsonl"])
def test_what_is_not_utf8(form: str, llama: Path, tmp_path: Path) -> None:
    before = TEXT.encode() if form == "text" else json.dumps({"text": TEXT}).encode() + b'\n{"text": "'
    (tmp_path / "latin").write_bytes(before + "é".encode("latin-1") + b"x" * 99)
    assert f"not UTF-8 text at byte {len(before)}" in str(refusal(llama, tmp_path / "latin", format=form))


@pytest.mark.parametrize(
    ("content", "word"),
    [
        (b"these are no numbers" * 50, "no .npy array"),
        (b"PK\x03\x04 no archive", "no .npy array"),
        (pickle.dumps(list(range(500))), "no .npy array"),
        (saved(np.array([{"a": 1}] * 100, dtype=object)), "whole numbers"),
        (saved(np.arange(500))[:300], "no .npy array"),
        (saved(np.arange(500)).replace(b"}", b"{", 1), "no .npy array"),
        (huge(), "no .npy array"),
        (saved(np.asfortranarray(np.ones((20, 30), dtype=int))), "stored by columns"),
        (saved(np.arange(500.0)), "whole numbers"),
        (saved(np.ones(500, dtype=bool)), "whole numbers"),
        (saved(np.array(["a"] * 500)), "whole numbers"),
        (zipped(), "no .npy array"),
        (saved(np.full(500, VOCAB_SIZE)), f"token id {VOCAB_SIZE}, but the model's vocab_size is {VOCAB_SIZE}"),
        (saved(np.full(500, -1)), "token id -1"),
        (saved(np.full(500, 2**64 - 1, dtype=np.uint64)), f"token id {2**64 - 1}"),
        (saved(np.zeros(63, dtype=np.int64)), "fewer than two sequences of 32"),
        (saved(np.zeros(0, dtype=np.int64)), "fewer than two"),
        (saved(np.int64(3)), "fewer than two"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
@pytest.mark.filterwarnings("ignore:Reading `.npy`:UserWarning")
def test_what_is_no_array_of_token_ids(content: bytes, word: str, llama: Path, tmp_path: Path) -> None:
    (tmp_path / "ids.npy").write_bytes(content)
    assert word in str(refusal(llama, tmp_path / "ids.npy", format="tokens"))


def test_a_raw_file_that_ends_inside_a_token(llama: Path, tmp_path: Path) -> None:
    (tmp_path / "ids.bin").write_bytes(bytes(1002))
    error = refusal(llama, tmp_path / "ids.bin", format="tokens", token_dtype="int32")
    assert "has 1002 bytes, which is no multiple of the 4 of int32" in str(error)
    assert error.field == "/data/token_dtype"


def test_a_raw_file_of_another_dtype(llama: Path, tmp_path: Path) -> None:
    np.arange(500, dtype="<i4").tofile(tmp_path / "ids.bin")
    assert "token id" in str(refusal(llama, tmp_path / "ids.bin", format="tokens"))


@pytest.mark.parametrize("kept", [0, 3, 100, 0.5, 0.9])
def test_a_parquet_file_that_is_cut_short(kept: float, llama: Path, tmp_path: Path) -> None:
    pq.write_table(pa.table({"text": [TEXT] * 20}), tmp_path / "whole.parquet")
    content = (tmp_path / "whole.parquet").read_bytes()
    length = int(kept * len(content)) if isinstance(kept, float) else kept
    (tmp_path / "cut.parquet").write_bytes(content[:length])
    word = "is no whole parquet file" if length else "is empty"
    assert word in str(refusal(llama, tmp_path / "cut.parquet", format="parquet"))


def test_a_parquet_file_that_is_damaged_inside(llama: Path, tmp_path: Path) -> None:
    pq.write_table(pa.table({"text": [TEXT[i:] for i in range(200)]}), tmp_path / "a.parquet", compression="zstd")
    content = bytearray((tmp_path / "a.parquet").read_bytes())
    content[200:-2000] = bytes(len(content) - 2200)
    (tmp_path / "a.parquet").write_bytes(content)
    assert "is no whole parquet file" in str(refusal(llama, tmp_path / "a.parquet", format="parquet"))


def test_a_column_that_is_not_there(llama: Path, tmp_path: Path) -> None:
    pq.write_table(pa.table({"body": [TEXT], "n": [1]}), tmp_path / "a.parquet")
    error = refusal(llama, tmp_path / "a.parquet", format="parquet")
    assert "has no column 'text'; its columns are body, n" in str(error)
    assert error.field == "/data/text_field"


@pytest.mark.parametrize("values", [[1, 2], [None, TEXT], [b"a", b"b"]])
def test_a_column_that_holds_no_text(values: list[Any], llama: Path, tmp_path: Path) -> None:
    pq.write_table(pa.table({"text": values}), tmp_path / "a.parquet")
    error = refusal(llama, tmp_path / "a.parquet", format="parquet")
    assert "Row 0 of row group 0 of file://" in str(error)
    assert error.field == "/data/text_field"


def test_a_prefix_without_parquet(llama: Path, tmp_path: Path) -> None:
    (tmp_path / "text.txt").write_text(TEXT)
    assert "no data that ends in .parquet" in str(refusal(llama, tmp_path, format="parquet"))


def test_images_for_a_language_model(llama: Path, tmp_path: Path) -> None:
    error = refusal(llama, tmp_path, format="images")
    assert "reads text, and format 'images' holds none" in str(error)
    assert error.field == "/data/format"


def test_a_pickle_is_never_run(llama: Path, tmp_path: Path) -> None:
    class Trap:
        def __reduce__(self) -> tuple[Any, ...]:
            return Path.touch, (tmp_path / "ran",)

    (tmp_path / "ids.npy").write_bytes(saved(np.array([Trap()], dtype=object)))
    refusal(llama, tmp_path / "ids.npy", format="tokens")
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("family", ["llama", "bert"])
def test_too_short_a_text(family: str, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    (tmp_path / "text.txt").write_text("a model grows")
    assert "fewer than two sequences of 32" in str(refusal(request.getfixturevalue(family), tmp_path / "text.txt"))


@pytest.mark.parametrize("family", ["llama", "gpt2", "bert"])
def test_sequences_beyond_the_positions(family: str, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    (tmp_path / "text.txt").write_text(real_text(20_000))
    checkpoint = request.getfixturevalue(family)
    error = refusal(checkpoint, tmp_path / "text.txt", sequence_length=POSITIONS + 1)
    assert f"sequence_length {POSITIONS + 1} is more than the model's {POSITIONS} positions" in str(error)
    assert error.field == "/data/sequence_length"
    assert read(checkpoint, tmp_path / "text.txt", sequence_length=POSITIONS).batch(0)["labels"].shape[1] == POSITIONS


def test_positions_that_the_config_does_not_tell(llama: Path, tmp_path: Path) -> None:
    (tmp_path / "text.txt").write_text(TEXT)
    checkpoint = copied(llama, tmp_path / "model", tokenizer_dot_json=(llama / "tokenizer.json").read_text())
    config = json.loads((checkpoint / "config.json").read_text())
    (checkpoint / "config.json").write_text(json.dumps(config | {"max_position_embeddings": "many"}))
    with pytest.raises(InvalidConfig, match="max_position_embeddings"):
        read(checkpoint, tmp_path / "text.txt")
    del config["max_position_embeddings"]
    (checkpoint / "config.json").write_text(json.dumps(config))
    assert len(Sequences.of(read(checkpoint, tmp_path / "text.txt")).all) > 2


def test_a_source_without_a_tokenizer(llama: Path, bert: Path, tmp_path: Path) -> None:
    (tmp_path / "text.txt").write_text(TEXT)
    np.save(tmp_path / "ids.npy", np.arange(200))
    for number, checkpoint in enumerate((llama, bert)):
        without = copied(checkpoint, tmp_path / f"without-{number}")
        error = refusal(without, tmp_path / "text.txt")
        assert "no tokenizer" in str(error)
        assert error.hint
    assert "no tokenizer" in str(refusal(tmp_path / "without-1", tmp_path / "ids.npy", format="tokens"))


def test_a_tokenizer_that_can_not_be_read(llama: Path, tmp_path: Path) -> None:
    (tmp_path / "text.txt").write_text(TEXT)
    broken = copied(llama, tmp_path / "broken", tokenizer_dot_json="{}")
    assert "no tokenizer that transformers can read" in str(refusal(broken, tmp_path / "text.txt"))


def test_a_tokenizer_of_another_vocabulary(llama: Path, gpt2: Path, tmp_path: Path) -> None:
    (tmp_path / "text.txt").write_text(real_text(20_000))
    smaller = copied(llama, tmp_path / "smaller", tokenizer_dot_json=(gpt2 / "tokenizer.json").read_text())
    config = json.loads((smaller / "config.json").read_text()) | {"vocab_size": 100}
    (smaller / "config.json").write_text(json.dumps(config))
    assert "vocab_size is 100" in str(refusal(smaller, tmp_path / "text.txt"))


def test_a_masked_model_without_a_mask_token(llama: Path, bert: Path, tmp_path: Path) -> None:
    (tmp_path / "text.txt").write_text(TEXT)
    names = {
        name.replace(".", "_dot_"): (llama / name).read_text() for name in ("tokenizer.json", "tokenizer_config.json")
    }
    unmasked = copied(bert, tmp_path / "unmasked", **names)
    assert "no mask token" in str(refusal(unmasked, tmp_path / "text.txt"))
