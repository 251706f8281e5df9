"""Secrets stand in nothing that is told: not in logs, failures, events or answers."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import httpx2
import pytest

from jobs.redaction import REDACTED, Redactor
from jobs.schema import EventKind, Failure
from tests.jobs.conftest import StoreFactory
from tests.jobs.samples import request, submit, wait_until
from tests.servers import free_port

SECRET = 'hunter2/"quoted"+and%more'


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (f"the key {SECRET} is wrong", f"the key {REDACTED} is wrong"),
        (json.dumps({"a": SECRET, "b": 1}), json.dumps({"a": REDACTED, "b": 1})),
        ("?s=hunter2%2F%22quoted%22%2Band%25more&x=1", f"?s={REDACTED}&x=1"),
        ("Authorization: Bearer abc.def-ghi", f"Authorization: Bearer {REDACTED}"),
        ('{"authorization": "bearer abc"}', f'{{"authorization": "bearer {REDACTED}"}}'),
        ("can't reach redis://:pass&word@host:6379/0", f"can't reach redis://{REDACTED}@host:6379/0"),
        ("https://user:pw@host/path?x=1", f"https://{REDACTED}@host/path?x=1"),
        ("GET /b?X-Amz-Signature=0123abcd&X-Amz-Date=1", f"GET /b?X-Amz-Signature={REDACTED}&X-Amz-Date=1"),
        ("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw is it", f"{REDACTED} is it"),
        (f"grow_{'a1_-' * 11}!", f"{REDACTED}!"),
        ("token eyJhbGciOi.eyJzdWIiOi.c2ln-_ end", f"token {REDACTED} end"),
        ("s3://models/a@b/c and file:///x@y", "s3://models/a@b/c and file:///x@y"),
        (
            "grow_layers, a bearer, ada@example.org, step 3 of 100",
            "grow_layers, a bearer, ada@example.org, step 3 of 100",
        ),
    ],
)
def test_what_is_taken_out(text: str, told: str) -> None:
    assert Redactor([SECRET, "ab"])(text) == told


def test_failures_and_events_lose_them(store_with: StoreFactory) -> None:
    store = store_with(s3_access_key_id="key", s3_secret_access_key=SECRET)
    job = submit(store, request())
    attempt = store.claim(job.id, "worker").attempt
    store.append_event(job.id, attempt, EventKind.LOG, {"message": f"signed with {SECRET}"})
    store.finish(job.id, attempt, Failure(code="storage_error", detail=f"{SECRET} is refused.", hint=f"Not {SECRET}."))
    told = store.get(job.id).model_dump_json() + store.events(job.id).model_dump_json()
    assert "hunter2" not in told
    assert told.count(REDACTED) >= 4


def test_logs_and_answers_of_a_service_lose_them(tmp_path: Path) -> None:
    """Nothing answers at its Redis, whose URL has a password that the sentences of libraries may show."""
    port = free_port()
    environment = {
        **os.environ,
        "GROW_REDIS_URL": f"redis://:hunter2hunter2@127.0.0.1:{free_port()}/0",
        "GROW_PORT": str(port),
        "GROW_LOG_FORMAT": "json",
    }
    log = tmp_path / "log"
    with log.open("wb") as file:
        service = subprocess.Popen([sys.executable, "-m", "service"], env=environment, stderr=file, stdout=file)
    try:
        url = f"http://127.0.0.1:{port}"
        wait_until(lambda: _answers(url), 60)
        answer = httpx2.get(f"{url}/jobs", timeout=60)
        assert answer.json()["code"] == "store_unavailable"
        wait_until(lambda: b"not reconcile" in log.read_bytes(), 60)
    finally:
        service.send_signal(signal.SIGTERM)
        service.wait(30)
    assert b"hunter2" not in log.read_bytes()
    assert "hunter2" not in answer.text


def _answers(url: str) -> bool:
    try:
        return httpx2.get(f"{url}/healthz", timeout=5).is_success
    except httpx2.TransportError:
        return False
