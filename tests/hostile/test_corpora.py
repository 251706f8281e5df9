"""Hostile data: the job on it fails with a documented code, in bounded memory."""

import json
from collections.abc import Collection
from pathlib import Path
from shutil import copytree
from typing import Any

import pytest

from jobs.schema import Result
from tests.hostile.codes import JOB_CODES
from tests.hostile.corpora import GOOD, IMAGES, TABLES, TEXTS, TOKENS, Corpus
from tests.hostile.memory import CHILD_BYTES, peak
from tests.hostile.test_sources import run
from tests.tiny import tiny
from worker.messages import Failed

# As in a worker's child: a warning ends nothing there, and must not hide here what comes after it.
pytestmark = pytest.mark.filterwarnings("ignore")
CORPORA = [*TEXTS, *TOKENS, *TABLES, *IMAGES]


@pytest.fixture(scope="module")
def vit(tmp_path_factory: pytest.TempPathFactory) -> Path:
    labels: dict[str, Any] = {"id2label": {"0": "zero", "1": "one"}, "label2id": {"zero": 0, "one": 1}}
    return tiny(tmp_path_factory.mktemp("vit") / "source", "vit", num_channels=3, **labels)


def failed(body: dict[str, Any], folder: Path, left: Collection[str] = ()) -> Failed:
    """How the job ends, after a look at the memory that it took; `left` is what lay at the output before."""
    with peak() as grown:
        ended = run(body, folder)
    assert isinstance(ended, Failed), ended
    assert ended.failure.code in JOB_CODES
    assert len(ended.failure.detail) < 600
    assert {path.name for path in folder.glob("grown/*")} == set(left)
    assert grown.growth < CHILD_BYTES, f"{grown.growth >> 20} MiB"
    return ended


def test_no_name_comes_twice() -> None:
    names = [corpus.name for corpus in CORPORA]
    assert len(set(names)) == len(names)


@pytest.mark.parametrize("corpus", CORPORA, ids=lambda corpus: corpus.name)
def test_a_job_on_hostile_data_fails(corpus: Corpus, llama: Path, vit: Path, tmp_path: Path) -> None:
    body = _on(corpus, vit if corpus in IMAGES else llama, tmp_path)
    assert failed(body, tmp_path).failure.code == corpus.code


@pytest.mark.parametrize("corpus", GOOD, ids=lambda corpus: corpus.name)
def test_the_same_job_on_good_data_succeeds(corpus: Corpus, llama: Path, vit: Path, tmp_path: Path) -> None:
    """So that it is the harm in the data that the others fail for."""
    ended = run(_on(corpus, vit if corpus.name.startswith("image") else llama, tmp_path), tmp_path)
    assert isinstance(ended, Result), ended


def _on(corpus: Corpus, source: Path, folder: Path) -> dict[str, Any]:
    (folder / "data").mkdir()
    corpus.make(folder / "data")
    return {
        "source": f"file://{source}",
        "output": f"file://{folder}/grown",
        "target": {"hidden_size": 64},
        "method": {"name": "ligo", "steps": 2, "batch_size": 2},
        "data": {"uri": f"file://{folder}/data", "format": corpus.format, "sequence_length": 16},
    }


def test_a_line_without_an_end_is_read_in_parts(llama: Path, tmp_path: Path) -> None:
    (tmp_path / "data.jsonl").write_text(json.dumps({"text": "x" * (2 << 20) + " \n" * (1 << 20)}))
    body = {
        "source": f"file://{llama}",
        "output": f"file://{tmp_path}/grown",
        "target": {"hidden_size": 64},
        "method": {"name": "ligo", "steps": 2, "batch_size": 2},
        "data": {"uri": f"file://{tmp_path}/data.jsonl", "format": "jsonl", "sequence_length": 16},
    }
    with peak() as grown:
        ended = run(body, tmp_path)
    assert isinstance(ended, Result), ended
    assert grown.growth < CHILD_BYTES, f"{grown.growth >> 20} MiB"


TOKENIZERS: list[tuple[str, str, Any]] = [
    ("tokenizer-no-json", "tokenizer.json", b"{"),
    ("tokenizer-empty", "tokenizer.json", b""),
    ("tokenizer-deep", "tokenizer.json", b'{"model":' * 20_000),
    ("tokenizer-of-a-terabyte", "tokenizer.json", 1 << 40),
    (
        "tokenizer-code",
        "tokenizer_config.json",
        {"auto_map": {"AutoTokenizer": ["evil.T", None]}, "tokenizer_class": "T"},
    ),
    ("tokenizer-class-unknown", "tokenizer_config.json", {"tokenizer_class": "os.system"}),
    ("tokenizer-config-a-list", "tokenizer_config.json", []),
]


@pytest.mark.parametrize(("name", "file", "content"), TOKENIZERS, ids=[name for name, *_ in TOKENIZERS])
def test_a_job_with_a_hostile_tokenizer_fails(name: str, file: str, content: Any, llama: Path, tmp_path: Path) -> None:
    source = tmp_path / "source"
    copytree(llama, source)
    (source / "evil.py").write_text("raise SystemExit")
    if file != "tokenizer.json":
        (source / "tokenizer.json").unlink()
    if isinstance(content, int):
        with (source / file).open("r+b") as stretched:
            stretched.truncate(content)
    else:
        (source / file).write_bytes(content if isinstance(content, bytes) else json.dumps(content).encode())
    (tmp_path / "data.txt").write_text("a model grows " * 2000)
    body = {
        "source": f"file://{source}",
        "output": f"file://{tmp_path}/grown",
        "target": {"hidden_size": 64},
        "method": {"name": "ligo", "steps": 2, "batch_size": 2},
        "data": {"uri": f"file://{tmp_path}/data.txt", "sequence_length": 16},
    }
    assert failed(body, tmp_path).failure.code in {"invalid_data", "invalid_checkpoint"}
