"""`python -m service` as an operator runs it."""

import json
import os
import signal
import subprocess
import sys
import time

import httpx2


def test_process_serves_logs_json_and_stops_at_sigterm(redis_url: str, free_port: int) -> None:
    environment = {
        **os.environ,
        "GROW_REDIS_URL": redis_url,
        "GROW_PORT": str(free_port),
        "GROW_LOG_FORMAT": "json",
    }
    process = subprocess.Popen([sys.executable, "-m", "service"], env=environment, stderr=subprocess.PIPE, text=True)
    try:
        url = f"http://127.0.0.1:{free_port}"
        _until_ready(process, url)
        assert httpx2.get(f"{url}/methods", headers={"X-Request-ID": "first"}).status_code == 200
        process.send_signal(signal.SIGTERM)
        _, text = process.communicate(timeout=20)
    finally:
        process.kill()
        process.wait()
    assert process.returncode in (0, -signal.SIGTERM)
    lines = [json.loads(line) for line in text.splitlines()]
    (line,) = [line for line in lines if line.get("request_id") == "first"]
    assert (line["path"], line["status"], line["level"]) == ("/methods", 200, "info")
    assert all("timestamp" in line for line in lines)


def test_service_does_not_load_torch() -> None:
    code = (
        "import sys, service.app; print([name for name in sys.modules if name in ('torch', 'transformers', 'numpy')])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def _until_ready(process: "subprocess.Popen[str]", url: str) -> None:
    deadline = time.monotonic() + 30
    while True:
        assert process.poll() is None
        try:
            if httpx2.get(f"{url}/readyz").status_code == 200:
                return
        except httpx2.TransportError:
            assert time.monotonic() < deadline
            time.sleep(0.05)
