"""Hostile requests are refused with a documented code as problem+json, create nothing, in bounded memory."""

import json
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from jobs.store import JobStore
from tests.hostile.codes import STATUSES
from tests.hostile.memory import SERVICE_BYTES, peak
from tests.hostile.requests import Request, requests

GOOD = {
    "source": "file:///SOURCE",
    "output": "file:///OUTPUT",
    "target": {"hidden_size": 64, "num_hidden_layers": 4},
    "method": "hypercloning",
}
CASES = requests(GOOD)


def test_there_are_many_and_no_name_comes_twice() -> None:
    assert len({case.name for case in CASES}) == len(CASES) > 100


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_a_hostile_request_is_refused(
    case: Request, client: TestClient, store: JobStore, llama: Path, output: Path
) -> None:
    body = case.body.replace(b"file:///SOURCE", f"file://{llama}".encode())
    body = body.replace(b"file:///OUTPUT", f"file://{output}".encode())
    with peak() as grown:
        answers = [client.post(path, content=body, headers=case.headers) for path in ("/plan", "/grow")]
    for answer in answers:
        problem: dict[str, Any] = answer.json()
        assert (problem["code"], answer.status_code) == (case.code, STATUSES[case.code]), problem
        assert answer.headers["Content-Type"] == "application/problem+json"
        assert len(answer.content) < 4096
        assert "Traceback" not in answer.text
    assert store.list_jobs().jobs == []
    assert not output.exists()
    assert grown.growth < SERVICE_BYTES


def test_the_good_request_that_they_were_made_of_is_taken(client: TestClient, llama: Path, output: Path) -> None:
    body = json.dumps(GOOD).replace("file:///SOURCE", f"file://{llama}").replace("file:///OUTPUT", f"file://{output}")
    assert client.post("/grow", content=body, headers={"Content-Type": "application/json"}).status_code == 202
