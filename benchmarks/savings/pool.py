"""Runs spread over processes of one thread each, their results cached as they come."""

import os
import sys
import time
from collections.abc import Callable, Iterable
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from multiprocessing import get_context
from pathlib import Path

import torch
import transformers

from benchmarks.savings.cache import Results
from benchmarks.savings.recipe import Recipe
from benchmarks.savings.runs import Result, Run, execute

Wanted = Callable[[Results], Iterable[Run]]
"""The runs that could start now, the most urgent first; those with a result are passed over."""


def run_all(wanted: Wanted, results: Results, recipe: Recipe, work: Path, workers: int, minutes: float) -> None:
    """Start what `wanted` names until nothing is left; after so many minutes start nothing more."""
    os.environ["OMP_NUM_THREADS"] = "1"
    deadline = time.monotonic() + 60 * minutes
    flying: dict[Future[Result], Run] = {}
    with ProcessPoolExecutor(workers, get_context("spawn"), _prepare) as pool:
        while True:
            if time.monotonic() < deadline:
                waiting = (run for run in wanted(results) if results.get(run) is None and run not in flying.values())
                for run in waiting:
                    if len(flying) == workers:
                        break
                    flying[pool.submit(execute, recipe, run, work)] = run
            if not flying:
                return
            done, _ = wait(flying, return_when=FIRST_COMPLETED)
            for future in done:
                run = flying.pop(future)
                results.add(run, future.result())
                _tell(run, future.result())


def _prepare() -> None:
    torch.set_num_threads(1)
    transformers.logging.set_verbosity_error()  # type: ignore[no-untyped-call]
    transformers.logging.disable_progress_bar()  # type: ignore[no-untyped-call]


def _tell(run: Run, result: Result) -> None:
    what = f"{run.kind} {run.method}".strip()
    settings = f"{run.steps} steps, rate {run.rate:g}, seed {run.seed}"
    losses = f"loss {result.start_loss} -> {result.loss}"
    print(f"{time.strftime('%H:%M:%S')} {what}: {settings}: {losses}, {result.seconds} s", file=sys.stderr, flush=True)
