"""The part of MLflow's REST API that a job uses, over HTTP on this machine; `make mlflow` tries the real server."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

API = "/api/2.0/mlflow/"
Json = dict[str, Any]


@dataclass
class Recorder:
    """What was told, as a server would keep it; one experiment, any number of runs."""

    url: str = ""
    calls: list[str] = field(default_factory=list)
    runs: dict[str, Json] = field(default_factory=dict)
    broken: bool = False

    def answer(self, call: str, body: Json) -> Json:
        self.calls.append(call)
        match call:
            case "experiments/get-by-name" | "experiments/create":
                return {"experiment_id": "1", "experiment": {"experiment_id": "1", "name": "model-growth"}}
            case "runs/search":
                wanted = body["filter"].split("'")[1]
                return {
                    "runs": [self._shown(run) for run in self.runs.values() if run["tags"]["growth.job_id"] == wanted]
                }
            case "runs/create":
                run_id = f"run{len(self.runs)}"
                run: Json = {"run_id": run_id, "name": body["run_name"], "status": "RUNNING"}
                self.runs[run_id] = {**run, "params": {}, "metrics": [], "tags": _pairs(body["tags"])}
                return {"run": self._shown(self.runs[run_id])}
        run = self.runs[body["run_id"]]
        match call:
            case "runs/log-batch":
                run["params"] |= _pairs(body.get("params", []))
                run["tags"] |= _pairs(body.get("tags", []))
                run["metrics"] += body.get("metrics", [])
            case "runs/set-tag":
                run["tags"][body["key"]] = body["value"]
            case "runs/update":
                run["status"] = body.get("status", run["status"])
        return {"run_info": self._shown(run)["info"], "run": self._shown(run)}

    def _shown(self, run: Json) -> Json:
        info = {"run_id": run["run_id"], "experiment_id": "1", "status": run["status"], "lifecycle_stage": "active"}
        return {"info": info, "data": {}}


@contextmanager
def mlflow_recorder() -> Iterator[Recorder]:
    """Listens until the end of the block."""
    recorder = Recorder()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            query = {name: values[0] for name, values in parse_qs(urlsplit(self.path).query).items()}
            self._answer(query)

        def do_POST(self) -> None:
            self._answer(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))

        def _answer(self, body: Json) -> None:
            path = urlsplit(self.path).path
            known = path.startswith(API) and not recorder.broken
            told = recorder.answer(path.removeprefix(API), body) if known else {"error_code": "BAD_REQUEST"}
            data = json.dumps(told).encode()
            self.send_response(200 if known else 400)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, format: str, *args: object) -> None:
            return

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        recorder.url = f"http://127.0.0.1:{server.server_port}"
        thread = threading.Thread(target=server.serve_forever, name="mlflow-recorder")
        thread.start()
        try:
            yield recorder
        finally:
            server.shutdown()
            thread.join()


def _pairs(items: list[Json]) -> dict[str, str]:
    return {item["key"]: item["value"] for item in items}
