"""What the tests grow, and a client that submits and waits."""

from collections.abc import Iterator
from itertools import count
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import httpx2
from safetensors.torch import load_file, save_file

from tests.servers import S3Server, plain_client
from tests.tiny import corpus, tiny_llama

SOURCE, BROKEN, TEXT = "llama-small", "llama-broken", "corpus/text.txt"
BUCKET = "s3://models"
FIT = {"name": "ligo", "batch_size": 8, "held_out_every": 5, "depth_learning_rate": 0.03}
DATA = {"uri": f"{BUCKET}/{TEXT}", "sequence_length": 32}
TARGET = {"hidden_size": 64, "num_hidden_layers": 4}
ENDLESS = 100_000


def filled_store(server: S3Server, folder: Path) -> None:
    """Puts a tiny source, one that computes no numbers, and a text into the store."""
    client = plain_client(server)
    source = tiny_llama(folder / SOURCE)
    broken = tiny_llama(folder / BROKEN)
    weights = load_file(broken / "model.safetensors")
    weights["model.norm.weight"].fill_(float("inf"))
    save_file(weights, broken / "model.safetensors", metadata={"format": "pt"})
    for checkpoint in (source, broken):
        for path in checkpoint.iterdir():
            client.put_object(Bucket=server.bucket, Key=f"{checkpoint.name}/{path.name}", Body=path.read_bytes())
    client.put_object(Bucket=server.bucket, Key=TEXT, Body="\n".join(corpus(400)).encode())


class Service:
    """A running service."""

    def __init__(self, url: str) -> None:
        self.url = url
        self._http = httpx2.Client(base_url=url, timeout=60, trust_env=False)
        self._numbers: Iterator[int] = count(1)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._http.close()

    def output(self, stem: str = "llama-grown") -> str:
        """A place where nothing is yet."""
        return f"{BUCKET}/{stem}-{next(self._numbers)}"

    def submit(self, **fields: Any) -> dict[str, Any]:
        """The job of a growth in closed form, or with other `fields`."""
        body = {"source": f"{BUCKET}/{SOURCE}", "target": TARGET, "method": "hypercloning"} | fields
        return self.post("/grow", body | {"output": fields.get("output") or self.output()})

    def post(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        """What is accepted there."""
        answer = self._http.post(path, json=body)
        assert answer.status_code == 202, answer.text
        return dict(answer.json())

    def job(self, job_id: str, **query: str) -> dict[str, Any]:
        """The job as it is now."""
        return dict(self._http.get(f"/jobs/{job_id}", params=query).raise_for_status().json())

    def ended(self, job_id: str) -> dict[str, Any]:
        """The job, once it has ended."""
        while (job := self.job(job_id, wait="30"))["status"] in ("queued", "running"):
            pass
        return job

    def cancel(self, job_id: str) -> None:
        """Asks the job to end."""
        self._http.post(f"/jobs/{job_id}/cancel").raise_for_status()
