"""The process that does a job's work: `python -m worker.child`, started by the worker and never outliving it.

It has its own process group, and gives back whatever memory it took when it ends. All it knows of the job comes on
standard input; everything that is printed goes to standard error, because standard output is the worker's. It may be
started long before there is a job: until then it imports what takes seconds to import, and waits.
"""

import os
import queue
import select
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from typing import BinaryIO, NoReturn

from pydantic import BaseModel

from jobs.redaction import Redactor, redact_logs
from jobs.schema import Candidate, FitPoint, Result, Stage
from jobs.tuning import TrialResult
from storage import Storage
from telemetry.logs import configure_logs, working_on
from telemetry.traces import About, Traces, open_traces
from worker.messages import (
    STOPPED_EXIT_CODE,
    WORK,
    AnyWork,
    Failed,
    Fitted,
    Go,
    MayCommit,
    Measured,
    Pretrained,
    Progressed,
    Succeeded,
    TrialWork,
)
from worker.meter import Meter, Steps
from worker.origins import die_with_parent, take_standard_output
from worker.settings import WorkerSettings, open_storage

TOLD_SECONDS = 0.5


class Worker:
    """The worker as the child sees it; a `worker.report.Report`."""

    def __init__(self, told: BinaryIO) -> None:
        self._told = told
        self._telling = threading.Lock()
        self.steps = Steps()
        self._granted: queue.SimpleQueue[Go] = queue.SimpleQueue()
        self._leave = threading.Event()
        self._saves = False
        self._stage = Stage.PLANNING
        self._progress_at = self._point_at = 0.0
        threading.Thread(target=self._listen, name="worker", daemon=True).start()

    def stage(self, stage: Stage) -> None:
        self._stage = stage
        self._progress_at = 0.0
        self.progress(0.0)

    def progress(self, fraction: float) -> None:
        """Tells at most two a second; so do `pretrained` and `fitted`, and every held-out loss besides."""
        if (now := time.monotonic()) >= self._progress_at:
            self._progress_at = now + TOLD_SECONDS
            self.tell(Progressed(stage=self._stage, progress=fraction))

    def measured(self, candidate: Candidate) -> None:
        self.tell(Measured(candidate=candidate))

    def pretrained(self, point: FitPoint) -> None:
        self.steps.training += point.step > 0
        if self._worth_telling(point):
            self.tell(Pretrained(point=point))

    def fitted(self, point: FitPoint) -> None:
        self.steps.fit += point.step > 0
        if self._worth_telling(point):
            self.tell(Fitted(point=point))

    def ask_to_commit(self) -> None:
        """Returns when the worker still holds the job; where it does not, this process ends instead."""
        while True:
            self.tell(MayCommit())
            answer = self._granted.get()
            # Looked at behind the wait: a process that was stopped meanwhile may wake when the job is another's.
            if time.monotonic() < answer.until:
                return

    @contextmanager
    def saving(self) -> Iterator[Callable[[], bool]]:
        self._saves = True
        try:
            yield self._leave.is_set
        finally:
            self._saves = False
        if self._leave.is_set():
            sys.exit(STOPPED_EXIT_CODE)

    def end(self, _number: int, _frame: object) -> None:
        """What SIGTERM does: as `_stop`, but where a state can be saved first."""
        self._leave.set()
        if not self._saves:
            _stop(_number, _frame)

    def tell(self, message: BaseModel) -> None:
        with self._telling:
            self._told.write(message.model_dump_json().encode() + b"\n")
            self._told.flush()

    def _worth_telling(self, point: FitPoint) -> bool:
        if (now := time.monotonic()) < self._point_at and point.held_out_loss is None:
            return False
        self._point_at = now + TOLD_SECONDS
        return True

    def _listen(self) -> None:
        # Not through `sys.stdin`: a thread that waits inside of it aborts the interpreter's own end.
        with os.fdopen(os.dup(0), "rb", buffering=0) as worker:
            while line := worker.readline():
                self._granted.put(Go.model_validate_json(line))
        # The worker is gone, and with it whoever could stop what this process has started.
        os.killpg(os.getpgrp(), signal.SIGKILL)


def main() -> None:
    """Reads the work, does it, tells how it ended."""
    die_with_parent(signal.SIGKILL)
    signal.signal(signal.SIGTERM, _stop)
    settings = WorkerSettings()
    configure_logs(settings.log_format)
    redact_logs(Redactor(settings.secrets()))
    told = take_standard_output()
    storage = open_storage(settings)
    _get_ready(storage)
    if not (line := sys.stdin.buffer.readline()):
        return
    work = WORK.validate_json(line)
    worker = Worker(told)
    signal.signal(signal.SIGTERM, worker.end)
    about: About = {"job_id": work.job_id, "attempt": work.attempt, "request_id": work.request_id}
    with working_on(**about):
        # Sent before the last word, after which the worker ends this process.
        with closing(open_traces("worker")) as traces, traces.span("job", about, parent=work.traceparent) as span:
            ending = _ending(work, storage, settings, worker, traces)
            if isinstance(ending, Failed):
                span.fail(ending.failure.code)
        worker.tell(ending)


def _get_ready(storage: Storage) -> None:
    """Imports what every job needs, and, while there is none, has ready what most need."""
    import worker.failures
    import worker.run

    if not select.select([0], [], [], 0)[0]:
        import worker.fitting
        import worker.verifying  # noqa: F401

        storage.prepare()


def _ending(
    work: AnyWork, storage: Storage, settings: WorkerSettings, worker: Worker, traces: Traces
) -> Succeeded | Failed:
    from worker.failures import concluded

    with Meter(worker.steps, storage.traffic, worker.tell):
        outcome = concluded(lambda: _result(work, storage, settings, worker, traces))
    return outcome if isinstance(outcome, Failed) else Succeeded(result=outcome)


def _result(
    work: AnyWork, storage: Storage, settings: WorkerSettings, worker: Worker, traces: Traces
) -> Result | TrialResult:
    if isinstance(work, TrialWork):
        from worker.trial import run_trial

        return run_trial(work, storage, settings, worker, traces)
    from worker.run import run_job

    return run_job(work, storage, settings, worker, traces)


def _stop(_number: int, _frame: object) -> NoReturn:
    # An exception, so that uploads are aborted on the way out.
    sys.exit(STOPPED_EXIT_CODE)


if __name__ == "__main__":
    main()
