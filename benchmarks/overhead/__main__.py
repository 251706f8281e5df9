"""A job's own seconds, with a worker whose next child waits and with one whose has to be started.

    python -m benchmarks.overhead [--rounds N] [--json]

A whole service: Valkey with every write on disk, an S3 store (moto), the API, one worker. Each round sends one job to a
warm worker, and one directly after the waiting child was killed; beside both stands what Python takes to import torch.
"""

import argparse
import json
import os
import platform
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from statistics import median
from typing import Any

import httpx2
import torch

from storage import Uri
from tests.chaos.machines import Machine, Machines, running
from tests.tiny import corpus, tiny_llama

FLOOR = "python -c 'import torch'"
WANTED_SECONDS = 2.0
IDLE_SECONDS = 1.5
PATIENCE_SECONDS = 180.0
FIT = {"name": "ligo", "steps": 4, "batch_size": 4}
KINDS: dict[str, dict[str, Any]] = {"closed form": {"method": "hypercloning"}, "fit": {"method": FIT}}
FIRST_STEP = {"closed form": "expanding", "fit": "fitting"}


def main() -> None:
    """Run every round and print what was found."""
    arguments = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    arguments.add_argument("--rounds", type=int, default=7)
    arguments.add_argument("--json", action="store_true")
    given = arguments.parse_args()
    # What was started has to be stopped.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with tempfile.TemporaryDirectory() as name, running(Path(name), "moto", 1) as machines:
        found = _measured(machines, given.rounds)
    print(json.dumps(found, indent=1) if given.json else "\n".join(_lines(found)))


def _measured(machines: Machines, rounds: int) -> dict[str, Any]:
    root = f"s3://{machines.server.bucket}/overhead"
    _upload(machines, root)
    seconds: dict[str, list[dict[str, float]]] = {}
    floor: list[float] = []
    with httpx2.Client(base_url=machines.url, timeout=60, trust_env=False) as http:
        for number in range(-1, rounds):
            measured = dict(_round(machines, http, root, number))
            if number < 0:
                # The first jobs make the clients' connections.
                continue
            floor.append(_import_seconds())
            for name, found in measured.items():
                seconds.setdefault(name, []).append(found)
    return {
        "machine": {"cores": os.cpu_count(), "system": platform.platform(terse=True), "torch": torch.__version__},
        "load": [round(load, 1) for load in os.getloadavg()],
        "rounds": rounds,
        "wanted_seconds": WANTED_SECONDS,
        "floor": {"what": FLOOR, "median_seconds": round(median(floor), 2)},
        "cases": {name: _case(found, median(floor)) for name, found in seconds.items()},
    }


def _round(machines: Machines, http: httpx2.Client, root: str, number: int) -> Iterator[tuple[str, dict[str, float]]]:
    (worker,) = machines.workers
    for kind in KINDS:
        _wait_until_idle(worker)
        yield f"{kind}, warm", _job(http, kind, root, f"{kind}-{number}-warm")
        _wait_until_idle(worker)
        worker.send(signal.SIGKILL, worker.children)
        yield f"{kind}, cold", _job(http, kind, root, f"{kind}-{number}-cold")


def _job(http: httpx2.Client, kind: str, root: str, name: str) -> dict[str, float]:
    """Seconds of one job, by Redis' clock, which is this machine's."""
    body = {
        "source": f"{root}/source",
        "output": f"{root}/{name.replace(' ', '-')}",
        "target": {"hidden_size": 48},
        "data": {"uri": f"{root}/text.txt", "sequence_length": 32} if kind == "fit" else None,
        "verify": False,
        **KINDS[kind],
    }
    if kind != "fit":
        body["target"] = {"hidden_size": 64}
    sent = time.time()
    accepted = http.post("/grow", json=body)
    assert accepted.status_code == 202, accepted.text
    answered = time.time()
    path = accepted.headers["Location"]
    while (job := http.get(path, params={"wait": "30"}).json())["status"] in ("queued", "running"):
        continue
    assert job["status"] == "succeeded", job["error"]
    at = _moments(http, path)
    to_first_step, commit = at[FIRST_STEP[kind]] - sent, at["succeeded"] - at["committing"]
    return {
        "answered": answered - sent,
        "planning": at["planning"] - sent,
        "first_step": to_first_step,
        "commit": commit,
        "overhead": to_first_step + commit,
    }


def _moments(http: httpx2.Client, path: str) -> dict[str, float]:
    """When each stage and each status began."""
    found: dict[str, float] = {}
    for event in http.get(f"{path}/events").json()["events"]:
        name = event["data"].get("stage") if event["kind"] == "stage" else event["data"].get("status")
        if name is not None:
            # Its id begins with milliseconds since 1970.
            found.setdefault(str(name), int(event["id"].partition("-")[0]) / 1000)
    return found


def _wait_until_idle(worker: Machine) -> None:
    """The worker's next child waits, and has not used the CPU for a while."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    before: tuple[list[int], float] = ([], -1.0)
    while True:
        children = worker.children
        now = (children, sum(map(_cpu_seconds, children)))
        if len(children) == 1 and now == before:
            return
        before = now
        assert time.monotonic() < deadline, "the worker does not come to rest"
        time.sleep(IDLE_SECONDS)


def _cpu_seconds(pid: int) -> float:
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return 0.0
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _import_seconds() -> float:
    started = time.monotonic()
    subprocess.run([sys.executable, "-c", "import torch"], check=True)
    return time.monotonic() - started


def _upload(machines: Machines, root: str) -> None:
    storage, place = machines.storage(), Uri.parse(root)
    for path in tiny_llama(machines.folder / "source").iterdir():
        storage.put(place.join(f"source/{path.name}"), path.read_bytes())
    storage.put(place.join("text.txt"), "\n".join(corpus(600)).encode())


def _case(found: list[dict[str, float]], floor: float) -> dict[str, float]:
    told = {f"{part}_seconds": round(median(one[part] for one in found), 3) for part in found[0]}
    overheads = [one["overhead"] for one in found]
    return {
        **told,
        "longest_overhead_seconds": round(max(overheads), 3),
        "overhead_to_floor": round(median(overheads) / floor, 2),
    }


def _lines(found: dict[str, Any]) -> list[str]:
    floor = found["floor"]
    lines = [f"{floor['what']}: {floor['median_seconds']} s; load {found['load']}"]
    for name, case in found["cases"].items():
        lines.append(
            f"{name}: {case['overhead_seconds']} s ({case['first_step_seconds']} s to the first step, "
            f"{case['commit_seconds']} s for the commit), {case['overhead_to_floor']} times the floor"
        )
    return lines


if __name__ == "__main__":
    main()
