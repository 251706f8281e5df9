"""Steps timed in turn in one process, by the clock and by the processor's time."""

import statistics
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch

from benchmarks.fit_cost.cases import (
    PLAIN,
    Case,
    Growth,
    RandomTokens,
    plain_flops,
    plain_training,
    write_source,
)
from worker.modules import build_module

FLOOR = (
    "A plain training step of the target: forward, backward and AdamW of the stock module in eval mode, no dropout. "
    "A fit step has the same attention and activations to compute, and fewer numbers to move."
)


def measure(case: Case, folder: Path, rounds: int, sets: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """Ratios of medians, each of the sets of options to the plain step; FLOPs of both."""
    batches = RandomTokens(case)
    growth = Growth(write_source(case.source, folder), case.target)
    module = build_module(growth.plan({}).target, seed=0)
    fits = {name: growth.fit({**options, "batch_size": case.batch}, batches) for name, options in sets.items()}
    steps: dict[str, Callable[[], object]] = {PLAIN: plain_training(module, batches)}
    steps |= {name: fit.step for name, fit in fits.items()}
    wall, cpu = interleaved(steps, rounds)
    flops = plain_flops(module, case.batch * case.tokens)
    return {
        "case": case.told,
        PLAIN: {"seconds": wall[PLAIN], "cpu_seconds": cpu[PLAIN], "gigaflops": round(flops / 1e9, 1)},
        "options": {
            name: {
                "seconds": wall[name],
                "cpu_seconds": cpu[name],
                "gigaflops": round(fit.flops_per_step / 1e9, 1),
                "time_ratio": round(wall[name] / wall[PLAIN], 3),
                "cpu_ratio": round(cpu[name] / cpu[PLAIN], 3),
                "flops_ratio": round(fit.flops_per_step / flops, 3),
            }
            for name, fit in fits.items()
        },
    }


def interleaved(steps: Mapping[str, Callable[[], object]], rounds: int) -> tuple[dict[str, float], dict[str, float]]:
    """Median seconds and median CPU seconds of each, over rounds in turning order, after one that is not counted."""
    wall: dict[str, list[float]] = {name: [] for name in steps}
    cpu: dict[str, list[float]] = {name: [] for name in steps}
    for step in steps.values():
        step()
    for number in range(rounds):
        shift = number % len(steps)
        names = list(steps)
        for name in names[shift:] + names[:shift]:
            started, busy = time.perf_counter(), time.process_time()
            steps[name]()
            wall[name].append(time.perf_counter() - started)
            cpu[name].append(time.process_time() - busy)
    return _medians(wall), _medians(cpu)


def _medians(seconds: Mapping[str, list[float]]) -> dict[str, float]:
    return {name: round(statistics.median(times), 4) for name, times in seconds.items()}


def threads() -> int:
    """Of torch, in this process."""
    return torch.get_num_threads()
