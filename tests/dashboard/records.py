"""A service without a worker, and its records: tests act on them as a worker would, one step at a time."""

import secrets
from pathlib import Path
from typing import Any

import httpx2

from jobs.store import Claim, JobStore
from tests.dashboard.browsing import SECRET


class Records:
    """Submits jobs to the service at `url`, and does them by hand."""

    def __init__(self, url: str, store: JobStore, models: Path) -> None:
        self.url = url
        self.store = store
        self.models = models
        self.source = f"file://{models}/llama"
        self.data = {"uri": f"file://{models}/text.txt", "sequence_length": 32}

    def output(self) -> str:
        """A place where nothing is yet."""
        return f"file://{self.models}/grown-{secrets.token_hex(6)}"

    def submit(self, **fields: Any) -> str:
        """The id of a new job."""
        body = {
            "source": self.source,
            "output": self.output(),
            "target": {"hidden_size": 64},
            "method": "hypercloning",
        }
        headers = {"Authorization": f"Bearer {SECRET}"}
        answer = httpx2.post(f"{self.url}/grow", json=body | fields, headers=headers, trust_env=False)
        assert answer.status_code == 202, answer.text
        return str(answer.json()["id"])

    def claim(self, job_id: str) -> Claim:
        """The job runs from now on."""
        return self.store.claim(job_id, "a worker")
