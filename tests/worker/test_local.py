"""`grow run`: the same job without a service, in a process of its own."""

import json
import os
import signal
import subprocess
import sys
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from jobs.schema import Job, Status
from tests.worker.checks import logits
from worker.local import run

COMMAND = "import typer; from worker.local import run; typer.run(run)"


@pytest.fixture
def request_file(tmp_path: Path, llama: Path) -> Path:
    told = {
        "source": f"file://{llama}",
        "output": f"file://{tmp_path}/output",
        "target": {"hidden_size": 64, "num_hidden_layers": 4},
        "method": "hypercloning",
    }
    path = tmp_path / "request.json"
    path.write_text(json.dumps(told))
    return path


def changed(path: Path, **changes: Any) -> Path:
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))
    return path


def start(path: Path, *options: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", COMMAND, str(path), *options],
        env={**os.environ, "GROW_STATE_URI": f"file://{path.parent}/state"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def grow_run(path: Path, *options: str) -> tuple[int, str, str]:
    process = start(path, *options)
    out, err = process.communicate(timeout=120)
    return process.returncode, out, err


def test_a_source_that_is_a_config(request_file: Path, tmp_path: Path) -> None:
    np.save(tmp_path / "ids.npy", np.arange(3_000) % 50)
    config = {"model_type": "llama", "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2}
    config |= {"num_attention_heads": 4, "vocab_size": 64, "max_position_embeddings": 64}
    source = {"config": config, "pretrain": {"steps": 5, "batch_size": 4, "held_out_every": 5}}
    data = {"uri": f"file://{tmp_path}/ids.npy", "format": "tokens", "sequence_length": 16}
    code, out, err = grow_run(changed(request_file, source=source, data=data), "--json")
    assert code == 0, out + err
    job = Job.model_validate_json(out)
    assert job.result is not None
    assert job.result.pretraining is not None
    assert [point.step for point in job.result.pretraining.curve] == [0, 5]
    assert not list((tmp_path / "state").rglob("*.safetensors"))

    source = {"config": config, "pretrain": {"steps": 0}}
    code, out, _ = grow_run(changed(request_file, source=source), "--json")
    assert (code, json.loads(out)["error"]["field"]) == (2, "/source/pretrain/steps")


def test_the_client_finds_it() -> None:
    (entry,) = entry_points(group="grow.commands", name="run")
    assert entry.load() is run


def test_a_job_in_this_process(request_file: Path, tmp_path: Path, llama: Path) -> None:
    code, out, _ = grow_run(request_file, "--json")
    job = Job.model_validate_json(out)
    assert (code, job.status) == (0, Status.SUCCEEDED)
    torch.testing.assert_close(logits(tmp_path / "output"), logits(llama), rtol=0, atol=5e-5)

    code, out, _ = grow_run(request_file, "--json")
    job = Job.model_validate_json(out)
    assert (code, job.status) == (1, Status.FAILED)
    assert job.error is not None
    assert job.error.code == "output_exists"
    assert (tmp_path / "output" / "config.json").exists()


def test_what_was_measured_is_printed(request_file: Path, tmp_path: Path) -> None:
    data = tmp_path / "data.txt"
    data.write_text("a model grows by copying what it knows\n" * 200)
    path = changed(request_file, method="auto", data={"uri": f"file://{data}", "sequence_length": 32})
    code, out, err = grow_run(path, "--json")
    assert code == 0
    result = Job.model_validate_json(out).result
    assert result is not None
    assert result.selection is not None
    losses = {c.label: c.held_out_loss for c in result.selection.candidates if c.open}
    assert len(losses) == 2
    assert all(f"{label}: held-out loss {loss:.4f}" in err for label, loss in losses.items())


def test_a_refused_request(request_file: Path, tmp_path: Path) -> None:
    code, out, _ = grow_run(changed(request_file, target={"hidden_size": 16}), "--json")
    told = json.loads(out)
    assert (code, told["status"], told["error"]["code"]) == (2, "failed", "impossible_target")
    assert not (tmp_path / "output").exists()


@pytest.mark.parametrize("body", ['{"source": 1}', "no json", '{"wide": true}'])
def test_what_is_no_request(tmp_path: Path, body: str) -> None:
    path = tmp_path / "request.json"
    path.write_text(body)
    code, out, err = grow_run(path)
    assert (code, out) == (2, "")
    assert err.startswith("Error: ")
    assert len(err.splitlines()) == 1


def test_stopped_by_a_signal(request_file: Path, tmp_path: Path) -> None:
    data = tmp_path / "data.txt"
    data.write_text("a model grows by copying what it knows\n" * 2000)
    method = {"name": "ligo", "steps": 100_000}
    path = changed(request_file, method=method, data={"uri": f"file://{data}", "sequence_length": 32})
    with start(path, "--json") as process:
        assert process.stderr is not None
        assert "step 0" in process.stderr.readline()
        process.send_signal(signal.SIGTERM)
        out, _ = process.communicate(timeout=60)
    assert (process.returncode, Job.model_validate_json(out).status) == (3, Status.CANCELLED)
    assert not list((tmp_path / "output").glob("*"))


def test_an_optimizer_state_that_is_none_is_refused(request_file: Path, tmp_path: Path, llama: Path) -> None:
    code, out, _ = grow_run(changed(request_file, source_optimizer=f"file://{llama}"), "--json")
    told = json.loads(out)
    assert (code, told["error"]["code"], told["error"]["field"]) == (2, "invalid_optimizer_state", "/source_optimizer")
    assert not (tmp_path / "output").exists()
