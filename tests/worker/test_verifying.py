"""The verifying stage reads what was written and compares it with the source in stock transformers."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from growth.fit import FitOutcome
from growth.header import INDEX_FILE
from growth.verify import NotFinite
from jobs.schema import Verification
from storage import Storage, Uri, WrittenObject
from storage.folder import Folder
from tests.growth.fit_bench import MAKERS
from tests.growth.folders import write_grown
from tests.growth.growing import Source
from tests.tiny import tiny, tiny_gpt2, tiny_llama
from tests.worker.fitted import Stages
from worker.verifying import verify_output
from worker.written import written_reader

WIDE = {"hidden_size": 64, "num_hidden_layers": 3}
TIED, UNTIED = {"tie_word_embeddings": True}, {"tie_word_embeddings": False}


def verified(stages: Stages, written: Path, *, corpus: bool = True) -> Verification:
    """The stage, on shards that are told without an index, as a job has them before its commit."""
    shards = [
        WrittenObject(Uri.parse(f"file://{file}"), file.stat().st_size, "")
        for file in sorted(written.glob("*.safetensors"))
    ]
    reader = written_reader(Folder(Storage(), Uri.parse(f"file://{written}")), shards)
    return verify_output(stages.plan, stages.reader, reader, stages.corpus if corpus else None, device="cpu")


def closed_form(stages: Stages) -> Path:
    """What is written without a fit."""
    return stages.write(FitOutcome(stages.plan.operator, (), 0, 0, ()))


@pytest.mark.parametrize(
    ("family", "config", "asked"),
    [
        ("llama", UNTIED, {}),
        ("llama", TIED, {"max_shard_bytes": 60_000}),
        ("gpt2", TIED, {}),
        ("bert", TIED, {"max_shard_bytes": 60_000}),
        ("bert", UNTIED, {}),
    ],
)
def test_a_fitted_target_has_the_loss_of_its_fit(
    family: str, config: dict[str, Any], asked: dict[str, Any], tmp_path: Path
) -> None:
    source = MAKERS[family](tmp_path / "source", **config)
    stages = Stages.of(source, tmp_path, WIDE, steps=3, depth_learning_rate=0.05, **asked)
    outcome, report = stages.fit()
    found = verified(stages, written := stages.write(outcome))
    assert (written / INDEX_FILE).exists() == bool(asked)
    assert found.target_loss == pytest.approx(report.final_held_out_loss, abs=1e-5)
    assert found.target_loss == pytest.approx(stages.loss_of(written), abs=1e-5)
    assert found.source_loss == pytest.approx(stages.loss_of(tmp_path / "source"), abs=1e-5)
    assert found.max_logit_difference is not None
    assert found.max_logit is not None
    assert found.max_logit_difference > 1e-3 * found.max_logit
    assert found.tokens == 2 * 4 * 32


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("corpus", [True, False], ids=["text", "random"])
def test_a_function_that_is_kept_shows_no_difference(corpus: bool, dtype: str, tmp_path: Path) -> None:
    source = tiny_llama(tmp_path / "source", tie_word_embeddings=True)
    stages = Stages.of(source, tmp_path, WIDE, init="lemon", dtype=dtype)
    found = verified(stages, closed_form(stages), corpus=corpus)
    assert found.max_logit is not None
    assert found.max_logit_difference is not None
    rounding = 5e-5 if dtype == "float32" else 5e-2
    assert 0 < found.max_logit_difference < rounding * found.max_logit
    assert found.tokens == (2 * 4 * 32 if corpus else 2 * 64)
    if corpus:
        assert found.source_loss == pytest.approx(found.target_loss, abs=1e-4 if dtype == "float32" else 1e-2)
    else:
        assert (found.source_loss, found.target_loss) == (None, None)


def test_random_tokens_are_those_of_the_seed(tmp_path: Path) -> None:
    source = tiny_gpt2(tmp_path / "source", n_positions=32)
    stages = Stages.of(source, tmp_path, WIDE, seed=4)
    written = closed_form(stages)
    first, again = (verified(stages, written, corpus=False) for _ in range(2))
    assert first == again
    assert first.tokens == 2 * 32
    other = replace(stages, plan=replace(stages.plan, seed=5))
    assert verified(other, written, corpus=False) != first


@pytest.mark.parametrize("name", ["model.embed_tokens.weight", "model.layers.2.mlp.down_proj.weight", "lm_head.weight"])
def test_a_damaged_tensor_shows(name: str, tmp_path: Path) -> None:
    stages = Stages.of(tiny_llama(tmp_path / "source"), tmp_path, WIDE, init="hypercloning")
    written = closed_form(stages)
    before = verified(stages, written).max_logit_difference
    tensors = load_file(written / "model.safetensors")
    save_file(tensors | {name: torch.ones_like(tensors[name])}, written / "model.safetensors")
    after = verified(stages, written).max_logit_difference
    assert before is not None
    assert after is not None
    assert after > 1000 * before


def test_an_overflow_of_float16_is_refused(tmp_path: Path) -> None:
    source = tiny_llama(tmp_path / "source")
    tensors = load_file(source / "model.safetensors")
    save_file(tensors | {"lm_head.weight": tensors["lm_head.weight"] * 1e7}, source / "model.safetensors")
    stages = Stages.of(source, tmp_path, WIDE, init="hypercloning", dtype="float16")
    written = closed_form(stages)
    for corpus in (True, False):
        with pytest.raises(NotFinite, match="take float32 or bfloat16"):
            verified(stages, written, corpus=corpus)


@pytest.mark.parametrize(("variant", "compared"), [("vit-headless", 2 * 10), ("vit-pixels", 2 * 10), ("deit", 2)])
@pytest.mark.parametrize("method", ["lemon", "pad"])
def test_images_are_made_up(variant: str, compared: int, method: str, tmp_path: Path) -> None:
    source = Source.open(tiny(tmp_path / "source", variant))
    plan = source.plan({"hidden_size": 64}, method)
    write_grown(plan, source.reader, written := tmp_path / "written")
    found = verify_output(plan, source.reader, Source.open(written).reader, None, device="cpu")
    assert found.tokens == compared
    assert found.max_logit is not None
    assert found.max_logit_difference is not None
    assert (found.max_logit_difference < 5e-5 * found.max_logit) == (method == "lemon")
    assert found == verify_output(plan, source.reader, Source.open(written).reader, None, device="cpu")


@pytest.mark.parametrize("family", ["llama", "gpt2", "bert"])
def test_a_model_without_a_head_is_compared_by_its_hidden_states(family: str, tmp_path: Path) -> None:
    source = MAKERS[family](tmp_path / "source", headed=False)
    stages = Stages.of(source, tmp_path, {"hidden_size": 64}, name="hypercloning")
    found = verified(stages, closed_form(stages))
    assert (found.source_loss, found.target_loss) == (None, None)
    assert found.max_logit is not None
    assert found.max_logit_difference is not None
    assert found.max_logit_difference < 5e-5 * found.max_logit
