"""One trace from the client's request through API and worker to each stage in the child; and none unless asked for."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from jobs.schema import Job, Status
from service.app import create_app
from service.settings import ServiceSettings
from storage import Uri
from telemetry.traces import OFF, Traces, open_traces
from tests.otlp import otlp_receiver
from tests.servers import RedisServer
from tests.tiny import tiny_llama
from tests.worker.farm import farm
from tests.worker.processes import wait_until

TRACE_ID = "0af7651916cd43dd8448eb211c80319c"
CLIENT_SPAN = "b7ad6b7169203331"
BLIND = (
    "import importlib.util, sys; find = importlib.util.find_spec; "
    "importlib.util.find_spec = lambda name, *a: None if name.startswith('opentelemetry') else find(name, *a); "
)


def test_one_trace_from_request_to_stage(valkey: RedisServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = tiny_llama(tmp_path / "source")
    with otlp_receiver() as receiver:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", receiver.endpoint)
        with farm(valkey, Uri.parse(f"file://{tmp_path}/store"), tmp_path) as running, running.worker():
            traces = open_traces("service")
            app = create_app(ServiceSettings(redis_url=valkey.url), traces)
            with TestClient(app, "http://127.0.0.1", client=("127.0.0.1", 1)) as client:
                body = {
                    "source": f"file://{source}",
                    "output": f"file://{tmp_path}/grown",
                    "target": {"hidden_size": 64},
                    "method": "hypercloning",
                }
                headers = {"traceparent": f"00-{TRACE_ID}-{CLIENT_SPAN}-01", "X-Request-ID": "ci-17"}
                job_id = client.post("/grow", json=body, headers=headers).json()["id"]
                job = running.store.get(job_id)
                assert isinstance(job, Job)
                running.wait_for(job, Status.SUCCEEDED)
            traces.close()
            # The worker sends its own span when the task is over, which is after the job is.
            wait_until(lambda: bool(receiver.named("attempt")))

        (request,) = receiver.named("POST /grow")
        (attempt,) = receiver.named("attempt")
        (work,) = receiver.named("job")
        stages = [span for span in receiver.spans if span.parent_id == work.span_id]
        ours = [request, attempt, work, *stages]
        assert {span.trace_id for span in ours} == {TRACE_ID}
        assert (request.parent_id, attempt.parent_id, work.parent_id) == (
            CLIENT_SPAN,
            request.span_id,
            attempt.span_id,
        )
        assert [span.name for span in stages] == ["planning", "expanding", "verifying", "committing"]
        assert (request.service, attempt.service, work.service) == (
            "model-growth-service",
            "model-growth-worker",
            "model-growth-worker",
        )
        assert request.about["http.response.status_code"] == 202
        assert attempt.about == {"job_id": job_id, "attempt": 1, "request_id": "ci-17", "ending": "succeeded"}
        assert not any(span.failed for span in ours)


def _halves_by_zero(traces: Traces) -> None:
    with traces.span("inner") as inner:
        inner.fail("out_of_memory")
    1 / 0  # noqa: B018


def test_a_failure_is_told_in_its_span(monkeypatch: pytest.MonkeyPatch) -> None:
    with otlp_receiver() as receiver:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", f"{receiver.endpoint}/v1/traces")
        traces = open_traces("worker")
        with pytest.raises(ZeroDivisionError), traces.span("outer", parent="not a traceparent"):
            _halves_by_zero(traces)
        traces.close()
        (outer,), (told,) = receiver.named("outer"), receiver.named("inner")
        assert outer.failed
        assert told.failed
        assert told.parent_id == outer.span_id
        assert outer.parent_id == ""


@pytest.mark.parametrize(
    "unset", [{}, {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1", "OTEL_SDK_DISABLED": "true"}]
)
def test_they_are_off_by_default(monkeypatch: pytest.MonkeyPatch, unset: dict[str, str]) -> None:
    for name, value in unset.items():
        monkeypatch.setenv(name, value)
    assert open_traces("service") is OFF
    with OFF.span("anything") as span:
        span.note({"never": "sent"})
        assert span.traceparent is None


def test_nothing_of_it_is_loaded_while_they_are_off() -> None:
    code = "import sys, telemetry.traces; print(any(name.startswith('opentelemetry') for name in sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


@pytest.mark.parametrize("start", ["import worker.app", "import service.__main__ as m; m.main()"])
def test_asked_for_and_not_installed(start: str) -> None:
    environment = {**os.environ, "OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1"}
    done = subprocess.run([sys.executable, "-c", BLIND + start], env=environment, capture_output=True, text=True)
    assert done.returncode == 2
    assert "pip install 'model-growth[traces]'" in done.stderr
    assert "Traceback" not in done.stderr
