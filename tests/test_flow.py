"""The whole way over HTTP, from `POST /grow` to a checkpoint that stock transformers loads, on every kind of store."""

import json
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path
from typing import Any

import httpx2
import numpy as np
import pytest
import torch
from transformers import AutoModelForCausalLM

from storage import S3Settings, Storage, StorageSettings, Uri
from tests.client.grow_up import grow_up
from tests.servers import S3Server
from tests.tiny import corpus, tiny_llama

MANIFEST = "model.safetensors.index.json"
WAIT = {"wait": "30"}


class Flow:
    """A running service, and the store that it reads and writes."""

    def __init__(self, url: str, storage: Storage, root: Uri, folder: Path) -> None:
        self.http = httpx2.Client(base_url=url, timeout=60)
        self.storage, self.root, self.folder = storage, root, folder
        self._upload(tiny_llama(folder / "tied", tie_word_embeddings=True), "tied")
        self._upload(tiny_llama(folder / "untied", tie_word_embeddings=False), "untied")
        storage.put(root.join("text.txt"), "\n".join(corpus(600)).encode())

    def grow(self, name: str, method: object, **request: object) -> tuple[dict[str, Any], Path]:
        """The job once it has ended, and the output as a folder."""
        source, output = self.root.join(name), self.root.join(f"grown-{name}")
        body: dict[str, object] = {
            "source": str(source),
            "output": str(output),
            "target": {"hidden_size": 64},
            "method": method,
        }
        accepted = self.http.post("/grow", json={**body, **request})
        assert accepted.status_code == 202, accepted.text
        job = accepted.json()
        while job["status"] in ("queued", "running"):
            job = self.http.get(accepted.headers["Location"], params=WAIT).json()
        return job, self._download(output)

    def _upload(self, checkpoint: Path, name: str) -> None:
        for path in checkpoint.iterdir():
            self.storage.put(self.root.join(f"{name}/{path.name}"), path.read_bytes())

    def _download(self, output: Uri) -> Path:
        folder = self.folder / output.name
        folder.mkdir()
        for info in self.storage.list(output):
            (folder / info.uri.name).write_bytes(self.storage.read(info.uri))
        return folder


def _s3(server: S3Server) -> tuple[Storage, dict[str, str]]:
    settings = S3Settings(
        endpoint_url=server.endpoint_url, access_key_id=server.access_key, secret_access_key=server.secret_key
    )
    environment = {
        "GROW_S3_ENDPOINT_URL": server.endpoint_url,
        "GROW_S3_ACCESS_KEY_ID": server.access_key,
        "GROW_S3_SECRET_ACCESS_KEY": server.secret_key,
    }
    return Storage(StorageSettings(s3=settings)), environment


@pytest.fixture(scope="module", params=["file", "moto", "rclone"])
def flow(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Flow]:
    folder = tmp_path_factory.mktemp("flow")
    storage, environment, root = Storage(), dict[str, str](), Uri.parse(f"file://{folder}/store")
    if request.param != "file":
        server: S3Server = request.getfixturevalue(request.param)
        storage, environment = _s3(server)
        root = Uri.parse(f"s3://{server.bucket}/flow")
    with grow_up(folder / "up", environment=environment) as running:
        started = Flow(running.url, storage, root, folder)
        with started.http:
            yield started


UNTRAINED = {
    "config": {
        "model_type": "llama",
        "hidden_size": 32,
        "intermediate_size": 64,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "vocab_size": 64,
        "max_position_embeddings": 64,
    },
    "pretrain": {"steps": 40, "batch_size": 8, "learning_rate": 1e-2, "held_out_every": 10},
}


def _logits(folder: Path, ids: torch.Tensor) -> torch.Tensor:
    loaded: Any = AutoModelForCausalLM.from_pretrained(folder, output_loading_info=True)
    model, told = loaded
    assert not any(told.values()), told
    with torch.no_grad():
        return torch.as_tensor(model.eval()(input_ids=ids).logits)


def test_a_grown_checkpoint_computes_what_its_source_does(flow: Flow) -> None:
    job, output = flow.grow("untied", "hypercloning")
    assert job["status"] == "succeeded", job["error"]
    objects = json.loads((output / MANIFEST).read_text())["metadata"]["growth"]["objects"]
    assert {stored["name"] for stored in objects} | {MANIFEST} == {path.name for path in output.iterdir()}
    for stored in objects:
        assert sha256((output / stored["name"]).read_bytes()).hexdigest() == stored["sha256"]
    ids = torch.arange(3, 60).reshape(1, -1)
    torch.testing.assert_close(_logits(output, ids), _logits(flow.folder / "untied", ids), rtol=0, atol=5e-5)


def test_a_fitted_checkpoint_has_the_loss_of_the_fit(flow: Flow) -> None:
    method = {"name": "ligo", "steps": 6, "batch_size": 4, "init": {"name": "lemon", "depth": "stack"}}
    data = {"uri": str(flow.root.join("text.txt")), "sequence_length": 32}
    target = {"hidden_size": 48, "num_hidden_layers": 3}
    job, output = flow.grow("tied", method, data=data, target=target)
    assert job["status"] == "succeeded", job["error"]
    fit, verified = job["result"]["fit"], job["result"]["verification"]
    assert verified["target_loss"] == pytest.approx(fit["final_held_out_loss"], abs=1e-5)
    assert fit["final_held_out_loss"] < fit["initial_held_out_loss"]
    assert torch.isfinite(_logits(output, torch.arange(3, 30).reshape(1, -1))).all()


@pytest.mark.parametrize("method", ["hypercloning", "ligo"])
def test_a_source_that_is_a_config_is_trained_and_grown_in_one_job(flow: Flow, method: str) -> None:
    ids = flow.folder / "ids.npy"
    np.save(ids, np.arange(6_000) * 7 % 64)
    flow.storage.put(flow.root.join("ids.npy"), ids.read_bytes())
    data = {"uri": str(flow.root.join("ids.npy")), "format": "tokens", "sequence_length": 32}
    asked = {"name": "ligo", "steps": 6, "batch_size": 8, "held_out_every": 3} if method == "ligo" else method
    job, output = flow.grow(f"untrained-{method}", asked, source=UNTRAINED, data=data)
    assert job["status"] == "succeeded", job["error"]
    trained, fit, verified = (job["result"][name] for name in ("pretraining", "fit", "verification"))
    assert [point["step"] for point in trained["curve"]] == [0, 10, 20, 30, 40]
    assert trained["final_held_out_loss"] < trained["initial_held_out_loss"] - 1
    assert verified["source_loss"] == pytest.approx(trained["final_held_out_loss"], abs=1e-5)
    if method == "ligo":
        assert [point["step"] for point in fit["curve"]] == list(range(7))
        assert verified["target_loss"] == pytest.approx(fit["final_held_out_loss"], abs=1e-5)
    else:
        assert fit is None
        assert verified["target_loss"] == pytest.approx(trained["final_held_out_loss"], abs=1e-4)
    events = flow.http.get(f"/jobs/{job['id']}/events").json()["events"]
    told = [event["data"]["step"] for event in events if event["kind"] == "pretraining"]
    assert {0, 10, 20, 30, 40} <= set(told)
    stages = [event["data"]["stage"] for event in events if event["kind"] == "stage"]
    assert stages[:2] == ["planning", "pretraining"]
    assert "trained here first" in job["plan"]["notes"][0]
    assert json.loads((output / "growth.json").read_text())["request"]["source"]["config"] == UNTRAINED["config"]
    assert torch.isfinite(_logits(output, torch.arange(3, 30).reshape(1, -1))).all()
