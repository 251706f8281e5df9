"""The memory of an expansion in a process of its own: anonymous memory at its peak, above imports and plan.

python -m benchmarks.expand.memory CASE SOURCE OUTPUT
"""

import json
import os
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

from benchmarks.expand import cases
from benchmarks.expand.cases import Case, grow, plan_of, write_source
from storage import Storage, Uri
from worker.process import CHILD_ENVIRONMENT

MIB = 1 << 20
FLOOR = (
    "One source tensor must be held while its rows are read again and again, and a few blocks of rows on their way to "
    "the disk; neither grows with the number of layers. The bound is twice the largest target tensor and 150 MB."
)
_EVERY_SECONDS = 0.002


def measure(name: str, folder: Path) -> dict[str, Any]:
    """Peak and seconds of growing the case called `name` in `cases`, on a local disk by the service's writer."""
    case: Case = getattr(cases, name)
    source = write_source(case, folder / "source")
    output = folder / "model.safetensors"
    command = [sys.executable, "-m", "benchmarks.expand.memory", name, str(source), str(output)]
    environment = {**CHILD_ENVIRONMENT, **os.environ}
    run = subprocess.run(command, check=True, capture_output=True, text=True, env=environment)
    found: dict[str, Any] = json.loads(run.stdout)
    output.unlink()
    return {"case": case.told, **found}


def _grow_and_watch(case: Case, source: Uri, output: Uri) -> dict[str, Any]:
    storage = Storage()
    plan = plan_of(case, storage, source)
    before, largest, done = _anonymous_bytes(), 0, threading.Event()

    def watch() -> None:
        nonlocal largest
        while not done.wait(_EVERY_SECONDS):
            largest = max(largest, _anonymous_bytes())

    watcher = threading.Thread(target=watch)
    watcher.start()
    started = time.perf_counter()
    try:
        grow(plan, storage, source, lambda _, size: storage.open_write(output, size))
    finally:
        done.set()
        watcher.join()
    return {
        "parameters": plan.summary()["target"]["parameters"],
        "gigabytes": round(plan.target_bytes / 1e9, 3),
        "seconds": round(time.perf_counter() - started, 2),
        "peak_mebibytes": round(max(0, largest - before) / MIB),
        "bound_mebibytes": round((2 * plan.largest_tensor_bytes + 150e6) / MIB),
        "largest_tensor_mebibytes": round(plan.largest_tensor_bytes / MIB),
    }


def _anonymous_bytes() -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("RssAnon"))


if __name__ == "__main__":
    _name, _source, _output = sys.argv[1:]
    print(json.dumps(_grow_and_watch(getattr(cases, _name), Uri.parse(_source), Uri.parse(Path(_output).as_uri()))))
