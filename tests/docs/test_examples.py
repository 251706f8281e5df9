"""Every example of the pages, run as it stands against a real service."""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM

from client import GrowClient
from client.connection import DEFAULT_URL
from growth.operators import parse_method
from jobs.schema import GrowthRequest, Job, Status
from tests.client.grow_up import GROW, grow_up
from tests.docs.pages import PAGES, ROOT, blocks
from tests.growth.authors_ligo import fitted_state, grown_by_authors
from tests.tiny import corpus, tiny_bert

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="looks at /proc")
PATIENCE_SECONDS = 150.0


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with grow_up(tmp_path_factory.mktemp("up")) as running:
        yield running.url


@pytest.fixture
def placed(models: Path, url: str) -> Callable[[str], str]:
    """An example with the models and the service where they are in this test."""
    return lambda text: text.replace("/models/", f"{models}/").replace(DEFAULT_URL, url)


@pytest.fixture
def run(tmp_path: Path, url: str, placed: Callable[[str], str]) -> Callable[..., str]:
    """Runs an example in an empty folder and gives what it printed."""

    def run(*command: str) -> str:
        environment = {**os.environ, "GROW_URL": url, "PATH": f"{GROW.parent}:{os.environ['PATH']}"}
        *program, text = command
        done = subprocess.run(
            [*program, placed(text)],
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            text=True,
            timeout=PATIENCE_SECONDS,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    return run


def _requests() -> Iterator[dict[str, Any]]:
    for file in PAGES:
        for text in blocks(str(file.relative_to(ROOT)), "json"):
            found = json.loads(text)
            if "source" in found:
                yield found


def _only_job(url: str, output: str) -> Job:
    with GrowClient(url) as grow:
        (job,) = [job for job in grow.jobs() if isinstance(job, Job) and job.request.output.endswith(output)]
        return _ended(grow, job)


def _ended(grow: GrowClient, job: Job) -> Job:
    ended = grow.wait(job.id, PATIENCE_SECONDS, check=True)
    assert isinstance(ended, Job)
    return ended


def _is_exact(job: Job) -> bool:
    assert job.result is not None
    verified = job.result.verification
    assert verified is not None
    assert verified.max_logit_difference is not None
    assert verified.max_logit is not None
    return verified.max_logit_difference <= 5e-5 * verified.max_logit


def test_every_request_is_one() -> None:
    requests = list(_requests())
    assert len(requests) >= 2
    for found in requests:
        request = GrowthRequest.model_validate(found)
        parse_method({"name": request.method.name, **request.method.options})


def test_readme_in_its_order(
    run: Callable[..., str], placed: Callable[[str], str], url: str, models: Path, tmp_path: Path
) -> None:
    (request,) = blocks("README.md", "json")
    (tmp_path / "request.json").write_text(placed(request))
    (shell,) = blocks("README.md", "bash")
    submit, load = blocks("README.md", "python")

    told = run("bash", "-euo", "pipefail", "-c", shell)
    assert '"function_preserving":true' in told
    assert '"status":"queued"' in told
    assert "hypercloning" in told
    assert _is_exact(_only_job(url, "/large"))
    grown: Any = AutoModelForCausalLM.from_pretrained(models / "large")
    assert (grown.config.hidden_size, grown.config.num_hidden_layers) == (512, 8)

    told = run(sys.executable, "-c", submit)
    assert "parameters" in told
    assert "committing" in told
    assert _only_job(url, "/large-lemon").status is Status.SUCCEEDED
    run(sys.executable, "-c", load)


def test_training_that_goes_on_after_growth(run: Callable[..., str], placed: Callable[[str], str], url: str) -> None:
    save, load = blocks("docs/optimizer-state.md", "python")
    (request,) = blocks("docs/optimizer-state.md", "json")
    run(sys.executable, "-c", save)
    with GrowClient(url) as grow:
        job = _ended(grow, grow.submit(json.loads(placed(request))))
    assert _is_exact(job)
    assert (
        run(sys.executable, "-c", f"{load}\nprint({{float(s['step']) for s in optimizer.state.values()}})") == "{3.0}\n"
    )


def test_search_of_hyperparameters(
    run: Callable[..., str], placed: Callable[[str], str], models: Path, tmp_path: Path
) -> None:
    (request,) = blocks("docs/tuning.md", "json")
    (shell,) = blocks("docs/tuning.md", "bash")
    submit, train = blocks("docs/tuning.md", "python")
    (models / "corpus").mkdir()
    (models / "corpus" / "text.txt").write_text("\n\n".join(corpus(2000)))
    (tmp_path / "search.json").write_text(placed(request))
    shown = run("bash", "-euo", "pipefail", "-c", shell)
    told = run(sys.executable, "-c", submit)
    best = next(line for line in shown.splitlines() if line.startswith("best"))
    assert best.split(",")[0].split()[-1] in told.splitlines()[-1]
    shares = "sorted({group['lr'] / best['learning_rate'] for group in groups})"
    rates = run(sys.executable, "-c", f"{train}\nprint({shares})")
    # Of what writes into the stream, of other matrices, of the rest: half as wide, and half as deep.
    assert json.loads(rates) == [0.25, 0.5, 1.0]


def test_operator_made_by_hand(
    run: Callable[..., str], placed: Callable[[str], str], url: str, models: Path, tmp_path: Path
) -> None:
    make, _ = blocks("docs/operator-file.md", "python")
    run(sys.executable, "-c", make)
    request, _ = blocks("docs/operator-file.md", "json")
    with GrowClient(url) as grow:
        job = _ended(grow, grow.submit(json.loads(placed(request))))
    assert _is_exact(job)
    grown: Any = AutoModelForCausalLM.from_pretrained(models / "wide")
    assert grown.config.intermediate_size == 512


def test_operator_from_ligos_own_code(
    run: Callable[..., str], placed: Callable[[str], str], url: str, models: Path
) -> None:
    source, state = tiny_bert(models / "bert", tie_word_embeddings=False), fitted_state()
    (models / "bert-ligo").mkdir()
    torch.save(state, models / "bert-ligo" / "pytorch_model.bin")
    _, convert = blocks("docs/operator-file.md", "python")
    run(sys.executable, "-c", convert)
    _, request = blocks("docs/operator-file.md", "json")
    with GrowClient(url) as grow:
        grow.wait(grow.submit(json.loads(placed(request))).id, PATIENCE_SECONDS, check=True)
    expected = grown_by_authors(state, load_file(source / "model.safetensors"))
    grown = load_file(next((models / "bert-grown").glob("model*.safetensors")))
    assert grown.keys() == expected.keys()
    for name, tensor in expected.items():
        assert float((grown[name] - tensor).abs().max() / tensor.abs().max()) < 1e-6, name
