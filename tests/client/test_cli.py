"""The `grow` command as a terminal or a script sees it: output, JSON, exit codes, one sentence for each error."""

import json
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import Result

from jobs.schema import EventKind, Job, Plan, PretrainingReport, Stage
from jobs.store import JobStore
from tests.client.conftest import Body, Grow
from tests.client.test_sdk import FAILURE, RESULT, UNKNOWN
from tests.servers import free_port

COMMANDS = (
    "up",
    "plan",
    "submit",
    "tune",
    "watch",
    "status",
    "wait",
    "cancel",
    "retry",
    "webhook",
    "secret",
    "list",
    "methods",
    "architectures",
    "doctor",
    "version",
)


@pytest.fixture
def request_file(body: Body, tmp_path: Path) -> str:
    file = tmp_path / "request.json"
    file.write_text(json.dumps(body))
    return str(file)


def _lines(result: Result) -> list[Any]:
    return [json.loads(line) for line in result.stdout.splitlines()]


def _submitted(grow: Grow, request_file: str) -> str:
    result = grow("submit", request_file, "--json")
    assert result.exit_code == 0, result.output
    return Job.model_validate(_lines(result)[0]).id


def _running(grow: Grow, store: JobStore, request_file: str) -> tuple[str, int]:
    job_id = _submitted(grow, request_file)
    return job_id, store.claim(job_id, "worker").attempt


def test_help_lists_every_command_and_the_exit_codes(grow: Grow) -> None:
    text = grow("--help").stdout
    for command in (*COMMANDS, "run"):
        assert f" {command} " in text
    assert "Exit codes: 0 done" in text


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help_and_json(grow: Grow, command: str) -> None:
    result = grow(command, "--help")
    assert result.exit_code == 0
    assert "--json" in result.stdout


def test_plan_as_table_and_as_json(grow: Grow, request_file: str) -> None:
    table = grow("plan", request_file)
    assert table.exit_code == 0, table.output
    assert "LlamaForCausalLM" in table.stdout
    assert "hypercloning: computes the source's function" in table.stdout
    (plan,) = _lines(grow("plan", request_file, "--json"))
    assert Plan.model_validate(plan).target.sizes["hidden_size"] == 64


def test_plan_from_flags_alone(grow: Grow, llama: Path, tmp_path: Path) -> None:
    flags = ["--source", str(llama), "--output", str(tmp_path / "grown"), "--target", "hidden_size=64"]
    (plan,) = _lines(grow("plan", *flags, "--method", "hypercloning", "--option", "snr_db=30", "--json"))
    assert plan["method"]["snr_db"] == 30


def test_request_from_standard_input(grow: Grow, body: Body) -> None:
    assert grow("plan", "-", stdin=json.dumps(body)).exit_code == 0


def test_submit_twice_with_a_key_makes_one_job(grow: Grow, request_file: str, tmp_path: Path) -> None:
    first, second = (
        _lines(grow("submit", request_file, "--idempotency-key", str(tmp_path), "--json"))[0]["id"] for _ in range(2)
    )
    assert first == second


def test_status_and_list(grow: Grow, request_file: str, tmp_path: Path) -> None:
    job_id = _submitted(grow, request_file)
    shown = grow("status", job_id)
    assert shown.exit_code == 0
    assert "queued" in shown.stdout
    assert _lines(grow("status", job_id, "--json"))[0]["id"] == job_id
    assert job_id in grow("list", "--status", "queued", width=60).stdout
    assert [job["id"] for job in _lines(grow("list", "--limit", "1", "--json"))] == [job_id]
    assert _lines(grow("list", "--label", "none=such", "--json")) == []


def test_cancel(grow: Grow, request_file: str) -> None:
    job_id = _submitted(grow, request_file)
    assert _lines(grow("cancel", job_id, "--json"))[0]["status"] == "cancelled"
    assert grow("wait", job_id).exit_code == 3


@pytest.mark.parametrize(("outcome", "exit_code"), [(RESULT, 0), (FAILURE, 1), (None, 3)])
def test_wait_exits_as_the_job_ended(
    grow: Grow, store: JobStore, request_file: str, outcome: Any, exit_code: int
) -> None:
    job_id, attempt = _running(grow, store, request_file)
    store.finish(job_id, attempt, outcome)
    for command in ("wait", "watch"):
        assert grow(command, job_id).exit_code == exit_code
        assert grow(command, job_id, "--json").exit_code == exit_code


def test_a_source_that_the_job_trains_first(grow: Grow, store: JobStore, request_file: str, tmp_path: Path) -> None:
    config = {"model_type": "llama", "hidden_size": 32, "intermediate_size": 88, "num_hidden_layers": 2}
    (tmp_path / "config.json").write_text(json.dumps({**config, "num_attention_heads": 4, "vocab_size": 300}))
    np.save(tmp_path / "ids.npy", np.arange(3_000) % 300)
    flags = ("--source-config", str(tmp_path / "config.json"), "--pretrain-steps", "20", "--data-option")
    body = json.loads(Path(request_file).read_text())
    del body["source"]
    told = ("submit", "-", *flags, "format=tokens", "--data", str(tmp_path / "ids.npy"), "--json")
    submitted = grow(*told, stdin=json.dumps(body))
    assert submitted.exit_code == 0, submitted.output
    job_id, attempt = _lines(submitted)[0]["id"], 1
    store.claim(job_id, "worker")
    assert "a llama model trained first, in 20 steps" in grow("status", job_id).stdout
    trained = PretrainingReport(steps=20, initial_held_out_loss=5.0, final_held_out_loss=3.5)
    store.finish(job_id, attempt, RESULT.model_copy(update={"pretraining": trained}))
    assert "held-out loss 5.0000 -> 3.5000 in 20 steps" in grow("wait", job_id).stdout


def test_failed_job_shows_its_reason(grow: Grow, store: JobStore, request_file: str) -> None:
    job_id, attempt = _running(grow, store, request_file)
    store.finish(job_id, attempt, FAILURE)
    shown = grow("wait", job_id).stdout
    assert FAILURE.detail in shown
    assert str(FAILURE.hint) in shown


def test_wait_gives_up_in_time(grow: Grow, request_file: str) -> None:
    result = grow("wait", _submitted(grow, request_file), "--timeout", "0.2")
    assert result.exit_code == 4
    assert "still queued after 0.2 s" in result.stderr


def test_submit_and_wait(grow: Grow, store: JobStore, request_file: str, body: Body) -> None:
    worker = threading.Thread(target=_work, args=(store, body["output"]))
    worker.start()
    result = grow("submit", request_file, "--wait", "--timeout", "30", "--json")
    worker.join()
    assert result.exit_code == 0, result.output
    assert _lines(result)[0]["status"] == "succeeded"


def test_watch_as_json_is_every_event_and_then_the_job(grow: Grow, store: JobStore, request_file: str) -> None:
    job_id, attempt = _running(grow, store, request_file)
    store.update(job_id, attempt, stage=Stage.FITTING)
    store.append_event(job_id, attempt, EventKind.FIT, {"step": 1, "loss": 2.5})
    store.finish(job_id, attempt, RESULT)
    *events, last = _lines(grow("watch", job_id, "--json"))
    assert [line["event"]["kind"] for line in events] == ["status", "status", "stage", "fit", "status"]
    assert last["job"]["status"] == "succeeded"


def test_methods_and_architectures(grow: Grow) -> None:
    assert "hypercloning" in grow("methods").stdout
    assert "llama" in grow("architectures").stdout
    assert {"name", "options"} <= set(_lines(grow("methods", "--json"))[0])
    assert {one["model_type"] for one in _lines(grow("architectures", "--json"))} >= {"bert", "gpt2", "llama"}


def test_version(grow: Grow) -> None:
    told = _lines(grow("version", "--json"))[0]["version"]
    assert grow("version").stdout.strip() == grow("--version").stdout.strip() == told


def test_short_help(grow: Grow) -> None:
    for command in ("plan", "run"):
        assert grow(command, "-h").stdout == grow(command, "--help").stdout


def test_refusal_is_a_sentence_and_a_way_out(grow: Grow, request_file: str) -> None:
    result = grow("plan", request_file, "--target", "hidden_size=16")
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr.startswith("Error: ")
    assert "The nearest that works: hidden_size=32" in result.stderr
    assert "Traceback" not in result.stderr


def test_refusal_as_json_leaves_standard_output_empty(grow: Grow, request_file: str) -> None:
    result = grow("plan", request_file, "--target", "hidden_size=16", "--json")
    assert (result.exit_code, result.stdout) == (2, "")
    error = json.loads(result.stderr)
    assert (error["error"], error["code"], error["status"]) == ("ProblemError", "impossible_target", 422)


def test_unknown_job(grow: Grow) -> None:
    for command in ("status", "wait", "watch", "cancel"):
        result = grow(command, UNKNOWN)
        assert result.exit_code == 2
        assert result.stderr == "Error: There is no job with this id.\n`grow list` shows the jobs of this key.\n"


def test_unreachable_service(grow: Grow) -> None:
    url = f"http://127.0.0.1:{free_port()}"
    result = grow("list", url=url)
    assert (result.exit_code, result.stdout) == (5, "")
    assert result.stderr.startswith(f"Error: No service answers at {url}")
    assert "`grow up`" in result.stderr


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("127.0.0.1:8765", "Write it in full, such as http://127.0.0.1:8765"),
        ("ftp://127.0.0.1", "an address starts with http:// or https://"),
    ],
)
def test_an_address_that_is_none(grow: Grow, url: str, told: str) -> None:
    result = grow("list", url=url)
    assert result.exit_code == 5
    assert told in result.stderr
    assert "`grow up`" not in result.stderr


def test_https_where_plain_http_is_spoken(grow: Grow, api: str) -> None:
    result = grow("list", url=api.replace("http:", "https:"))
    assert result.exit_code == 5
    assert result.stderr.endswith(f"does not speak TLS).\nTry {api}.\n")


def test_a_place_in_no_store(grow: Grow, request_file: str) -> None:
    result = grow("plan", request_file, "--source", "gs://bucket/model")
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr.startswith("Error: The field /source is no place in a store.\nGive s3://bucket/prefix")


@pytest.mark.parametrize("command", ["plan", "submit", "tune"])
def test_nothing_asked_for(grow: Grow, command: str) -> None:
    result = grow(command)
    assert result.exit_code == 2
    assert "Name a request: a file, - for the standard input, or flags" in result.stderr


def test_cancelling_what_has_ended_says_so(grow: Grow, store: JobStore, request_file: str) -> None:
    job_id, attempt = _running(grow, store, request_file)
    store.finish(job_id, attempt, RESULT)
    result = grow("cancel", job_id)
    assert result.exit_code == 0
    assert result.stderr == f"{job_id} had succeeded already; there was nothing to cancel.\n"


def test_what_a_program_reads_has_a_line_for_each_job(grow: Grow, request_file: str) -> None:
    job_id = _submitted(grow, request_file)
    heading, first, *_ = grow("list", width=40).stdout.splitlines()
    assert heading.split() == ["job", "status", "method", "age", "output"]
    assert first.split()[0] == job_id
    assert first.rstrip().endswith(json.loads(Path(request_file).read_text())["output"])


def test_an_empty_list_says_so_beside_it(grow: Grow) -> None:
    result = grow("list", "--label", "none=such")
    assert (result.exit_code, result.stdout, result.stderr) == (0, "", "No jobs found.\n")


@pytest.mark.parametrize(
    "arguments",
    [["submit", "--target", "x"], ["submit", "none.json"], ["list", "--label", "x"], ["wait"], ["nonsense"]],
)
def test_wrong_usage(grow: Grow, arguments: list[str]) -> None:
    result = grow(*arguments)
    assert result.exit_code == 2
    assert "Traceback" not in result.output


def _work(store: JobStore, output: str) -> None:
    """Does the job of that output, as a worker would."""
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        for job in store.list_jobs().jobs:
            if isinstance(job, Job) and job.request.output == output:
                store.finish(job.id, store.claim(job.id, "worker").attempt, RESULT)
                return
        time.sleep(0.05)
