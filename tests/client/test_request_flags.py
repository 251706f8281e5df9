"""A request from a file, from flags, and from flags over a file."""

import io
import json
import sys
from pathlib import Path
from typing import Any

import pytest
import typer

from client.request_flags import RequestFlags, read_body
from jobs.schema import GrowthRequest


def test_flags_alone_make_a_whole_request() -> None:
    flags = RequestFlags(
        source="s3://models/small",
        source_optimizer="s3://models/small-optimizer",
        training=["learning_rate=3e-4", "betas=[0.9, 0.95]"],
        output="s3://models/large",
        target=["hidden_size=768", "num_hidden_layers=12"],
        method="ligo",
        option=["steps=50", "init=pad", "gradient_clip=0.5", 'depth={"name": "stack"}'],
        data="s3://corpora/wiki",
        data_option=["format=jsonl", "sequence_length=64"],
        dtype="bfloat16",
        seed=7,
        label=["team=nlp", "run=12"],
        max_shard_bytes=1_000_000,
        verify=False,
    )
    body = flags.laid_over({})
    assert body == {
        "source": "s3://models/small",
        "source_optimizer": "s3://models/small-optimizer",
        "training": {"learning_rate": 3e-4, "betas": [0.9, 0.95]},
        "output": "s3://models/large",
        "target": {"hidden_size": 768, "num_hidden_layers": 12},
        "method": {"name": "ligo", "steps": 50, "init": "pad", "gradient_clip": 0.5, "depth": {"name": "stack"}},
        "data": {"uri": "s3://corpora/wiki", "format": "jsonl", "sequence_length": 64},
        "dtype": "bfloat16",
        "seed": 7,
        "labels": {"team": "nlp", "run": "12"},
        "max_shard_bytes": 1_000_000,
        "verify": False,
    }
    GrowthRequest.model_validate(body)


def test_what_no_flag_names_is_left_to_the_service() -> None:
    assert RequestFlags().laid_over({}) == {}
    assert RequestFlags(target=["hidden_size=64"]).laid_over({"seed": 3, "typo": 1}) == {
        "seed": 3,
        "typo": 1,
        "target": {"hidden_size": 64},
    }


@pytest.mark.parametrize(
    ("given", "flags", "expected"),
    [
        ("ligo", RequestFlags(option=["steps=5"]), {"name": "ligo", "steps": 5}),
        ({"name": "ligo", "seed": 9}, RequestFlags(option=["steps=5"]), {"name": "ligo", "seed": 9, "steps": 5}),
        ({"name": "ligo", "steps": 9}, RequestFlags(method="lemon"), {"name": "lemon"}),
        ({"name": "ligo", "steps": 9}, RequestFlags(seed=1), {"name": "ligo", "steps": 9}),
    ],
)
def test_method_over_a_file(given: Any, flags: RequestFlags, expected: Any) -> None:
    assert flags.laid_over({"method": given})["method"] == expected


def test_mappings_of_a_file_keep_their_other_keys() -> None:
    body = {"target": {"hidden_size": 8, "num_hidden_layers": 2}, "labels": {"a": "1"}, "data": {"uri": "s3://b/c"}}
    flags = RequestFlags(target=["hidden_size=16"], label=["b=2"], data_option=["format=jsonl"])
    assert flags.laid_over(body) == {
        "target": {"hidden_size": 16, "num_hidden_layers": 2},
        "labels": {"a": "1", "b": "2"},
        "data": {"uri": "s3://b/c", "format": "jsonl"},
    }


def test_plain_path_stands_for_its_uri(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    body = RequestFlags(source="small", output=str(tmp_path / "large"), data="../data").laid_over({})
    assert body["source"] == f"file://{tmp_path}/small"
    assert body["output"] == f"file://{tmp_path}/large"
    assert body["data"] == {"uri": f"file://{tmp_path.parent}/data"}


def test_a_source_that_is_trained_first(tmp_path: Path) -> None:
    config = tmp_path / "config.json"
    config.write_text('{"model_type": "llama"}')
    flags = RequestFlags(
        source_config=config,
        pretrain_steps=200,
        pretrain_option=["learning_rate=3e-4", "decay=linear"],
        source_tokenizer="s3://models/tokenizer",
    )
    source = flags.laid_over({})["source"]
    assert source == {
        "config": {"model_type": "llama"},
        "pretrain": {"steps": 200, "learning_rate": 3e-4, "decay": "linear"},
        "tokenizer": "s3://models/tokenizer",
    }
    assert RequestFlags(pretrain_steps=5).laid_over({"source": source})["source"] == {
        **source,
        "pretrain": {**source["pretrain"], "steps": 5},
    }
    assert RequestFlags(source="s3://models/small").laid_over({"source": source})["source"] == "s3://models/small"


@pytest.mark.parametrize(
    ("flags", "sentence"),
    [
        (RequestFlags(pretrain_steps=5), "--source-config"),
        (RequestFlags(pretrain_steps=5, source="s3://models/small"), "leave it out"),
        (RequestFlags(target=["hidden_size"]), "--target takes key=value, and got 'hidden_size'"),
        (RequestFlags(label=["=x"]), "--label takes key=value"),
        (RequestFlags(option=["steps=5"]), "--option needs a method"),
        (RequestFlags(data_option=["format=jsonl"]), "--data-option needs data"),
    ],
)
def test_flags_that_say_nothing_are_refused(flags: RequestFlags, sentence: str) -> None:
    with pytest.raises(typer.BadParameter, match=sentence):
        flags.laid_over({})


def test_request_is_read_from_a_file_or_standard_input(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "request.json"
    file.write_text(json.dumps({"seed": 1}))
    assert read_body(file) == {"seed": 1}
    assert read_body(None) == {}
    monkeypatch.setattr(sys, "stdin", io.StringIO('{"seed": 2}'))
    assert read_body(Path("-")) == {"seed": 2}


@pytest.mark.parametrize(("text", "sentence"), [("{", "is not JSON"), ("[]", "holds no JSON object")])
def test_file_that_holds_no_request_is_refused(tmp_path: Path, text: str, sentence: str) -> None:
    file = tmp_path / "request.json"
    file.write_text(text)
    with pytest.raises(typer.BadParameter, match=sentence):
        read_body(file)


def test_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(typer.BadParameter, match="can't be read: No such file"):
        read_body(tmp_path / "none.json")
