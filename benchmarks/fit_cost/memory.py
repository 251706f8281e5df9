"""Peak memory of a step's kind in a process of its own, as the worker's child has it.

python -m benchmarks.fit_cost.memory CASE OPTIONS SOURCE
"""

import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from benchmarks.fit_cost.cases import CASES, PLAIN, SETS, Case, Growth, RandomTokens, plain_training, write_source
from storage import Uri
from worker.modules import build_module
from worker.process import CHILD_ENVIRONMENT

MIB = 1 << 20
STEPS = 3
FLOOR = (
    "Plain training holds weights, gradients and two moments of the target, and its activations. A fit holds the "
    "source and its factors; the target's activations remain."
)
_EVERY_SECONDS = 0.002


def measure(name: str, folder: Path, options: list[str]) -> dict[str, Any]:
    """Peaks of anonymous memory over 3 steps, and their ratios to the plain step's."""
    case = CASES[name]
    source = write_source(case.source, folder)
    peaks = {entry: _in_child(name, entry, source) for entry in [PLAIN, *options]}
    plain = peaks.pop(PLAIN)["peak_mebibytes"]
    ratios = {
        entry: {
            **found,
            "memory_ratio": round(found["peak_mebibytes"] / plain, 3),
            "memory_ratio_with_source": round((found["peak_mebibytes"] + found["source_mebibytes"]) / plain, 3),
        }
        for entry, found in peaks.items()
    }
    return {"case": case.told, PLAIN: {"peak_mebibytes": plain}, "options": ratios}


def _in_child(case: str, options: str, source: Uri) -> dict[str, Any]:
    command = [sys.executable, "-m", "benchmarks.fit_cost.memory", case, options, str(source)]
    environment = {**os.environ, **CHILD_ENVIRONMENT}
    run = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, env=environment)
    found: dict[str, Any] = json.loads(run.stdout)
    return found


def _watched(case: Case, options: str, source: Uri) -> dict[str, Any]:
    growth = Growth(source, case.target)
    target = growth.plan({}).target
    with torch.device("meta"):
        # The module's classes are imported now, not while the memory is watched.
        build_module(target, device="meta")
    source_bytes = sum(tensor.nbytes for tensor in growth.tensors.values())
    if options == PLAIN:
        growth.tensors.clear()
    batches = RandomTokens(case)

    def work() -> None:
        step: Callable[[], object]
        if options == PLAIN:
            step = plain_training(build_module(target, seed=0), batches)
        else:
            step = growth.fit({**SETS[options], "batch_size": case.batch}, batches).step
            # From here on the fit alone holds the source, as in the worker.
            growth.tensors.clear()
        for _ in range(STEPS):
            step()

    return {"peak_mebibytes": round(_peak_above_start(work) / MIB), "source_mebibytes": round(source_bytes / MIB)}


def _peak_above_start(work: Callable[[], None]) -> int:
    before, largest, done = _anonymous_bytes(), 0, threading.Event()

    def watch() -> None:
        nonlocal largest
        while not done.wait(_EVERY_SECONDS):
            largest = max(largest, _anonymous_bytes())

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        work()
    finally:
        done.set()
        watcher.join()
    return max(0, largest - before)


def _anonymous_bytes() -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("RssAnon"))


if __name__ == "__main__":
    _case, _options, _source = sys.argv[1:]
    print(json.dumps(_watched(CASES[_case], _options, Uri.parse(_source))))
