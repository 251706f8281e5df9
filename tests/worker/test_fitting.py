"""The checkpoint that is written after a fit has the loss that the fit measured last, in stock transformers."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import BertForPreTraining

from growth.header import INDEX_FILE
from jobs.schema import FitPoint
from tests.growth.fit_bench import MAKERS
from tests.tiny import tiny_bert, tiny_gpt2, tiny_llama
from tests.worker.fitted import Stages

HALF = {"hidden_size": 48, "num_hidden_layers": 3}
DOUBLE = {"hidden_size": 64, "num_hidden_layers": 4}
TIED, UNTIED = {"tie_word_embeddings": True}, {"tie_word_embeddings": False}
CLONING = {"name": "hypercloning", "snr_db": 30.0, "depth": "stack"}


@pytest.mark.parametrize(
    ("family", "config", "target", "asked"),
    [
        ("llama", UNTIED, HALF, {}),
        ("llama", TIED, HALF, {"init": "lemon"}),
        ("llama", TIED, DOUBLE, {"init": CLONING, "max_shard_bytes": 60_000}),
        ("gpt2", TIED, DOUBLE, {"init": CLONING}),
        ("gpt2", TIED, HALF, {"max_shard_bytes": 60_000}),
        ("gpt2", UNTIED, HALF, {"init": "lemon"}),
        ("bert", TIED, DOUBLE, {"init": {"name": "bert2bert", "depth": "interpolate"}}),
        ("bert", UNTIED, HALF, {"max_shard_bytes": 60_000}),
        ("llama", TIED, HALF, {"share": "layer", "max_shard_bytes": 60_000}),
        ("llama", UNTIED, DOUBLE, {"attention": "dense", "tie": "normalised", "init": CLONING}),
        ("gpt2", TIED, HALF, {"attention": "dense", "rank": 3, "max_shard_bytes": 60_000}),
        ("bert", TIED, HALF, {"rank": 3, "tie": "transposed"}),
        ("bert", UNTIED, DOUBLE, {"share": "layer", "attention": "dense", "rank": 3, "init": CLONING}),
    ],
    ids=str,
)
def test_the_written_checkpoint_has_the_last_measured_loss(
    family: str, config: dict[str, Any], target: dict[str, int], asked: dict[str, Any], tmp_path: Path
) -> None:
    source = MAKERS[family](tmp_path / "source", **config)
    stages = Stages.of(source, tmp_path, target, steps=6, depth_learning_rate=0.05, held_out_every=4, **asked)
    outcome, report = stages.fit()
    written = stages.write(outcome)
    assert (written / INDEX_FILE).exists() == ("max_shard_bytes" in asked)
    assert stages.loss_of(written) == pytest.approx(report.final_held_out_loss, abs=1e-5)
    assert abs(report.final_held_out_loss - report.initial_held_out_loss) > 1e-3
    assert report.steps == 6
    assert report.parameters == outcome.learned_numbers
    assert report.curve == stages.points
    assert [point.step for point in report.curve] == list(range(7))
    assert [point.step for point in report.curve if point.held_out_loss is not None] == [0, 4, 6]
    assert report.curve[-1].held_out_loss == report.final_held_out_loss


@pytest.mark.parametrize("family", ["llama", "gpt2", "bert"])
def test_where_the_fit_starts_is_the_closed_form(family: str, tmp_path: Path) -> None:
    stages = Stages.of(MAKERS[family](tmp_path / "source"), tmp_path, HALF, steps=1)
    outcome, report = stages.fit()
    closed = stages.write(replace(outcome, operator=stages.plan.operator), "closed")
    assert stages.loss_of(closed) == pytest.approx(report.initial_held_out_loss, abs=1e-5)


@pytest.mark.parametrize("stored", [torch.bfloat16, torch.float32], ids=str)
def test_bfloat16_is_written_within_its_rounding(stored: torch.dtype, tmp_path: Path) -> None:
    source = tiny_llama(tmp_path / "source", dtype=stored, **TIED)
    stages = Stages.of(source, tmp_path, HALF, steps=4, dtype="bfloat16")
    outcome, report = stages.fit()
    difference = abs(stages.loss_of(stages.write(outcome)) - report.final_held_out_loss)
    assert 0 < difference < 4e-3


def test_a_source_in_float64_is_fitted_in_float64(tmp_path: Path) -> None:
    source = tiny_gpt2(tmp_path / "source", dtype=torch.float64)
    stages = Stages.of(source, tmp_path, HALF, steps=2)
    outcome, report = stages.fit()
    assert stages.loss_of(stages.write(outcome)) == pytest.approx(report.final_held_out_loss, abs=1e-5)


def test_a_head_that_the_fit_does_not_run_is_grown_too(tmp_path: Path) -> None:
    config = tiny_bert(tmp_path / "plain")
    model = BertForPreTraining.from_pretrained(config)
    model.save_pretrained(source := tmp_path / "source")
    for name in ("tokenizer.json", "tokenizer_config.json"):
        (source / name).write_bytes((config / name).read_bytes())
    stages = Stages.of(source, tmp_path, HALF, steps=2)
    loaded: Any = BertForPreTraining.from_pretrained(stages.write(stages.fit()[0]), output_loading_info=True)
    assert not loaded[1]["missing_keys"]
    assert not loaded[1]["unexpected_keys"]
    assert loaded[0].cls.seq_relationship.weight.shape == (2, 48)


class Stopped(Exception):
    """Raised by a test in the middle of a fit."""


@pytest.mark.parametrize("family", ["llama", "bert"])
def test_a_fit_that_was_stopped_goes_on_from_its_saved_state(family: str, tmp_path: Path) -> None:
    source = MAKERS[family](tmp_path / "source")
    for name in ("whole", "stopped"):
        (tmp_path / name).mkdir()
    whole, stopped = (
        Stages.of(source, tmp_path / name, HALF, steps=6, held_out_every=2) for name in ("whole", "stopped")
    )
    expected, report = whole.fit()

    def stop(point: FitPoint) -> None:
        if point.step == 4:
            raise Stopped

    with pytest.raises(Stopped):
        stopped.fit(stop, checkpoint_seconds=0.0)
    stopped.points.clear()
    outcome, resumed = stopped.fit()
    assert [point.step for point in stopped.points] == [4, 5, 6]
    assert resumed == report
    written = stopped.write(outcome)
    assert (written / "model.safetensors").read_bytes() == (whole.write(expected) / "model.safetensors").read_bytes()
    assert stopped.loss_of(written) == pytest.approx(resumed.final_held_out_loss, abs=1e-5)
