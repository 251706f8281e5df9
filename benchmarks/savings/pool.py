"""Runs spread over processes of one thread each, their results cached as they come."""

import os
import sys
import time
from collections.abc import Callable, Iterable
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from multiprocessing import get_context
from typing import Protocol, TypeVar

import torch
import transformers

AnyRun = TypeVar("AnyRun")
AnyResult = TypeVar("AnyResult")
Told = TypeVar("Told", contravariant=True)


class Known(Protocol[Told, AnyResult]):
    """What is known of runs."""

    def get(self, run: Told, /) -> AnyResult | None: ...
    def add(self, run: Told, result: AnyResult, /) -> None: ...


def run_all(
    wanted: Callable[[], Iterable[AnyRun]],
    execute: Callable[[AnyRun], AnyResult],
    known: Known[AnyRun, AnyResult],
    workers: int,
    minutes: float,
) -> None:
    """Start what `wanted` names until nothing is left; after so many minutes start nothing more.

    `wanted` gives the runs that could start now, the most urgent first; those with a result are passed over.
    """
    os.environ["OMP_NUM_THREADS"] = "1"
    deadline = time.monotonic() + 60 * minutes
    flying: dict[Future[AnyResult], AnyRun] = {}
    with ProcessPoolExecutor(workers, get_context("spawn"), _prepare) as pool:
        while True:
            if time.monotonic() < deadline:
                waiting = (run for run in wanted() if known.get(run) is None and run not in flying.values())
                for run in waiting:
                    if len(flying) == workers:
                        break
                    flying[pool.submit(execute, run)] = run
            if not flying:
                return
            done, _ = wait(flying, return_when=FIRST_COMPLETED)
            for future in done:
                run = flying.pop(future)
                known.add(run, future.result())
                print(f"{time.strftime('%H:%M:%S')} {run}: {future.result()}", file=sys.stderr, flush=True)


def _prepare() -> None:
    torch.set_num_threads(1)
    transformers.logging.set_verbosity_error()  # type: ignore[no-untyped-call]
    transformers.logging.disable_progress_bar()  # type: ignore[no-untyped-call]
