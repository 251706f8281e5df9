"""A fit that several processes share, from the side of the child that started them: heard line by line, and ended."""

import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from growth.operators.artefact import load_operator
from growth.operators.ligo import Ligo
from growth.operators.operator import GrowthOperator
from growth.plan import GrowthPlan
from jobs.schema import FitPoint, FitReport
from worker.errors import FitFailed, TooManyProcesses
from worker.messages import FIT_MESSAGE, Failed, FitEnded, Fitted, Work
from worker.settings import WorkerSettings
from worker.torchrun import torchrun

FOLDER = "GROW_FIT_FOLDER"
"""Environment of the processes on the child's machine: where the work lies, and where the operator goes."""
WORK, OPERATOR = "work.json", "operator.safetensors"


def fit_together(
    work: Work, plan: GrowthPlan, settings: WorkerSettings, on_point: Callable[[FitPoint], None]
) -> tuple[GrowthOperator, FitReport]:
    """The fit of `work`, whose source is a checkpoint in a store, by as many processes as `settings` say.

    `on_point` takes every step's losses; what it raises ends them all. Raises FitFailed with what they tell,
    TooManyProcesses where they are more than a batch has examples. Where one is killed this process exits, too: the
    worker gives such a job another attempt.
    """
    assert isinstance(plan.method, Ligo)
    processes = settings.fit_processes * settings.fit_nodes
    if plan.method.batch_size < processes:
        raise TooManyProcesses(
            f"{processes} processes share a fit on this worker, and batch_size is {plan.method.batch_size}; ask for "
            f"{processes} at least."
        )
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / WORK).write_text(work.model_dump_json())
        report = _followed(folder, settings, on_point)
        return load_operator((folder / OPERATOR).read_bytes(), plan), report


def _followed(folder: Path, settings: WorkerSettings, on_point: Callable[[FitPoint], None]) -> FitReport:
    report = None
    with _started(folder, settings) as process:
        assert process.stdout is not None
        for line in process.stdout:
            match FIT_MESSAGE.validate_json(line):
                case Fitted(point=point):
                    on_point(point)
                case Failed(failure=failure, transient=transient):
                    raise FitFailed(failure, transient=transient)
                case FitEnded(report=told):
                    report = told
        code = process.wait()
    if code or report is None:
        sys.exit(code or 1)
    return report


@contextmanager
def _started(folder: Path, settings: WorkerSettings) -> Iterator[subprocess.Popen[bytes]]:
    environment = {**os.environ, FOLDER: str(folder)}
    process = subprocess.Popen(  # noqa: S603, a command of our own
        torchrun(settings), env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE
    )
    try:
        yield process
    finally:
        # Its processes die with it, whatever they are at.
        process.kill()
        process.wait()
        assert process.stdout is not None
        process.stdout.close()
