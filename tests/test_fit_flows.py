"""Fits over HTTP, each shared by two processes: a head, no head, images, and a kill in the middle."""

import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest
from transformers import AutoModel, AutoModelForCausalLM, AutoModelForImageClassification

from tests.client.grow_up import grow_up
from tests.tiny import corpus, tiny, tiny_bert, tiny_llama
from tests.worker.digits import IMAGES, LABELS, NAMES, SIZE, TARGETS, encoded
from tests.worker.processes import hold_once, signal_all

METHOD = {"name": "ligo", "steps": 8, "batch_size": 8, "held_out_every": 4, "depth_learning_rate": 0.03}
LOADERS = {"llama": AutoModelForCausalLM, "bert": AutoModel, "vit": AutoModelForImageClassification}


class Service:
    """A service whose worker shares every fit between two processes."""

    def __init__(self, url: str, folder: Path) -> None:
        self.http, self.folder = httpx2.Client(base_url=url, timeout=60), folder
        tiny_llama(folder / "llama")
        tiny_bert(folder / "bert", headed=False)
        tiny(folder / "vit", "vit", **LABELS, **SIZE)
        (folder / "text.txt").write_text("\n".join(corpus(400)))
        for number, (image, label) in enumerate(zip(IMAGES[:120], TARGETS[:120], strict=True)):
            path = folder / "digits" / NAMES[label] / f"{number}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(encoded(image))

    def submit(self, family: str, output: str, **method: object) -> str:
        """The job's place."""
        text = {"uri": f"file://{self.folder}/text.txt", "sequence_length": 32}
        images = {"uri": f"file://{self.folder}/digits", "format": "images"}
        body = {
            "source": f"file://{self.folder}/{family}",
            "output": f"file://{self.folder}/{output}",
            "target": {"hidden_size": 48, "num_hidden_layers": 3},
            "method": {**METHOD, **method},
            "data": images if family == "vit" else text,
        }
        accepted = self.http.post("/grow", json=body)
        assert accepted.status_code == 202, accepted.text
        return accepted.headers["Location"]

    def ended(self, job: str) -> dict[str, Any]:
        """The job, once it has ended."""
        while (found := self.http.get(job, params={"wait": "30"}).json())["status"] in ("queued", "running"):
            pass
        return dict(found)


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    folder = tmp_path_factory.mktemp("fits")
    environment = {"GROW_FIT_PROCESSES": "2", "GROW_FIT_CHECKPOINT_SECONDS": "0.01"}
    with grow_up(folder / "up", environment=environment) as running:
        started = Service(running.url, folder)
        with started.http:
            yield started


@pytest.mark.parametrize("family", ["llama", "bert", "vit"])
def test_a_fit_by_two_processes(service: Service, family: str) -> None:
    job = service.ended(service.submit(family, f"grown-{family}"))
    assert job["status"] == "succeeded", job["error"]
    fit = job["result"]["fit"]
    assert [point["step"] for point in fit["curve"]] == list(range(9))
    assert fit["final_held_out_loss"] < fit["initial_held_out_loss"]
    _, told = LOADERS[family].from_pretrained(service.folder / f"grown-{family}", output_loading_info=True)
    assert not any(told.values()), told


def test_one_is_killed_and_the_fit_goes_on(service: Service) -> None:
    job = service.submit("llama", "grown-again", steps=80)

    def under_way() -> bool:
        return bool(0 < service.http.get(job).json()["progress"] < 0.8)

    sharing = hold_once(lambda: _sharing(service.folder), under_way, 120)
    signal_all(sharing[:1], signal.SIGKILL)
    signal_all(sharing[1:], signal.SIGCONT)
    ended = service.ended(job)
    assert ended["status"] == "succeeded", ended["error"]
    assert ended["attempt"] == 2
    assert [point["step"] for point in ended["result"]["fit"]["curve"]] == list(range(81))


def _sharing(folder: Path) -> list[int]:
    """The processes of a fit of this service, which alone has such a state folder."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            command, environment = (process / "cmdline").read_bytes(), (process / "environ").read_bytes()
        except OSError:
            continue
        if (
            b"worker.fit_process" in command
            and b"torch.distributed" not in command
            and str(folder).encode() in environment
        ):
            found.append(int(process.name))
    return found
