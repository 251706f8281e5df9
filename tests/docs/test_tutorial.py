"""The tutorial, followed word for word: each of its commands runs, in its order, against a real `grow up`."""

import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path

import pytest

from growth import grow
from tests.client.grow_up import GROW, grow_up
from tests.docs.pages import ROOT, blocks
from tests.tiny import corpus

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="looks at /proc")
PAGE, LIBRARY = "docs/tutorial.md", "docs/library.md"
PATIENCE_SECONDS = 200.0
Run = Callable[..., str]


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with grow_up(tmp_path_factory.mktemp("up")) as running:
        yield running.url


def _run(folder: Path, *command: str, **environment: str) -> str:
    """What a command prints in `folder`, which stands for the root of the clone."""
    paths = {"PYTHONPATH": str(ROOT), "PATH": f"{GROW.parent}:{os.environ['PATH']}"}
    done = subprocess.run(
        command,
        cwd=folder,
        env={**os.environ, **paths, **environment},
        capture_output=True,
        text=True,
        timeout=PATIENCE_SECONDS,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def _losses(told: str) -> list[float]:
    return [float(loss) for loss in re.findall(r"held-out loss .*: ([\d.]+)", told)]


def test_set_up_makes_what_is_activated() -> None:
    setup, *_ = blocks(PAGE, "bash")
    make, activate = setup.splitlines()
    assert activate == ". .venv/bin/activate"
    planned = _run(ROOT, *make.split(), "--dry-run", "--always-make", "VENV=.venv")
    assert "-m venv .venv" in planned
    assert "pip install" in planned


def test_every_command_in_its_order(url: str, tmp_path: Path) -> None:
    assert blocks(PAGE, "sh") == ["grow up\n"]  # which is what `url` has started
    _, *commands = blocks(PAGE, "bash")
    small, doctor, plan, submit, train = commands
    (load,) = blocks(PAGE, "python")

    def shell(text: str) -> str:
        return _run(tmp_path, "bash", "-euo", "pipefail", "-c", text, GROW_URL=url)

    (source_loss,) = _losses(shell(small))
    assert "both" in shell(doctor)
    assert "computes the source's function" in shell(plan)
    assert not (tmp_path / "models" / "large").exists()
    assert "succeeded" in shell(submit)
    assert _run(tmp_path, sys.executable, "-c", load).startswith("128 4\nThe assert statement is")
    grown_loss, trained_loss = _losses(shell(train))
    assert grown_loss == pytest.approx(source_loss, abs=2e-3)
    assert trained_loss < grown_loss - 0.05
    assert (tmp_path / "models" / "trained" / "model.safetensors").exists()


def test_the_library_by_its_page(models: Path) -> None:
    by_folder, by_model = blocks(LIBRARY, "python")
    told = _run(models, sys.executable, "-c", by_folder.replace("/models/", f"{models}/"))
    assert told == f"{models}/large-by-library\n"
    assert (models / "large-by-library" / "training.json").exists()
    told = _run(models, sys.executable, "-c", by_model.replace("/models/", f"{models}/"))
    assert told.startswith("LlamaForCausalLM ")


def test_examples_of_the_library(tmp_path: Path) -> None:
    (example,) = blocks(LIBRARY, "bash")
    source_loss, grown_loss, trained_loss = _losses(_run(tmp_path, "bash", "-euo", "pipefail", "-c", example))
    assert grown_loss == pytest.approx(source_loss, abs=2e-3)
    assert trained_loss < grown_loss


@pytest.mark.skipif(find_spec("lm_eval") is not None, reason="the harness is installed")
def test_without_the_harness_the_example_says_what_it_needs() -> None:
    script = [sys.executable, "-m", "examples.evaluate_with_lm_eval", "models/small", "--text", "models/manual.txt"]
    done = subprocess.run(script, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 1
    assert done.stderr == "This example needs the LM Evaluation Harness: run `pip install lm-eval`.\n"


@pytest.mark.lm_eval
def test_the_harness_finds_source_and_grown_model_equal(models: Path, tmp_path: Path) -> None:
    grown = grow(models / "small", {"hidden_size": 512}, "lemon", output=tmp_path / "grown")
    (tmp_path / "text.txt").write_text("\n\n".join(corpus(40)))
    script = ["-m", "examples.evaluate_with_lm_eval", str(models / "small"), str(grown), "--text", "text.txt"]
    told = _run(tmp_path, os.environ["LM_EVAL"], *script)
    source_bits, grown_bits = (float(bits) for bits in re.findall(r"bits_per_byte\S* ([\d.]+)", told))
    assert grown_bits == pytest.approx(source_bits, abs=2e-4)


def test_every_example_is_listed() -> None:
    named = set(re.findall(r"`examples\.(\w+)`", (ROOT / LIBRARY).read_text()))
    scripts = {file.stem for file in (ROOT / "examples").glob("*.py") if "__main__" in file.read_text()}
    assert named == scripts
