"""`grow coord-check`: what it prints and draws, its exit codes, and what it refuses."""

import json
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner, Result

from tests.docs.pages import ROOT
from tests.families import FAMILY_OF
from worker.coord_check import coord_check


def run(*arguments: str) -> Result:
    app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
    app.command()(coord_check)
    return CliRunner().invoke(app, list(arguments))


def written(folder: Path, variant: str, **more: Any) -> Path:
    family, found = FAMILY_OF[variant], FAMILY_OF[variant].variants[variant]
    raw = {**family.config, **found.config, "model_type": family.model_type, "initializer_range": 0.1, **more}
    (folder / "config.json").write_text(json.dumps(raw))
    return folder


def test_the_command_is_the_installed_one() -> None:
    declared = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["entry-points"]["grow.commands"]
    assert declared["coord-check"] == f"{coord_check.__module__}:{coord_check.__name__}"


def test_a_model_is_flat_under_mup_alone(tmp_path: Path) -> None:
    picture = tmp_path / "scales.svg"
    ended = run(str(written(tmp_path, "llama")), "--seeds", "1", "--plot", str(picture), "--json")
    assert ended.exit_code == 0, ended.output
    told = json.loads(ended.stdout)
    assert max(told["spread"]["mup"].values()) < 2.0 < 10.0 < max(told["spread"]["standard"].values())
    assert {activation["width"] for activation in told["activations"]} == {32, 64, 128, 256}
    assert picture.read_text().startswith("<?xml")


def test_what_moves_is_listed_and_ends_in_an_exit_code(tmp_path: Path) -> None:
    ended = run(str(written(tmp_path, "gpt2")), "--width", "64", "--seeds", "1", "--steps", "1", "--flat", "1.01")
    assert ended.exit_code == 1
    first, *rows, last = ended.stdout.splitlines()
    assert first.split() == ["largest", "over", "smallest", "scale", "standard", "muP"]
    assert any(row.startswith("transformer.h.0.attn.c_proj ") for row in rows)
    assert last.startswith("At most ")


def test_what_can_not_be_checked_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    missing = run(str(tmp_path / "none.json"))
    assert (missing.exit_code, missing.stderr.count("\n")) == (2, 1)
    assert "can't be read" in missing.stderr
    headless = run(str(written(tmp_path, "llama", architectures=["LlamaModel"])))
    assert headless.exit_code == 2
    assert "LlamaForCausalLM" in headless.stderr
    tied = run(str(written(tmp_path, "olmo-tied")))
    assert tied.exit_code == 2
    assert '"tie_word_embeddings": false' in tied.stderr
    # As where it is not installed.
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    monkeypatch.delitem(sys.modules, "worker.coordinate_plot", raising=False)
    bare = run(str(written(tmp_path, "llama")), "--plot", str(tmp_path / "scales.svg"))
    assert bare.exit_code == 2
    assert "pip install 'model-growth[plot]'" in bare.stderr
