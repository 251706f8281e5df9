"""One of the processes that share a fit: `torchrun ... -m worker.fit_process`.

The one that was started beside the child (`worker.fit_group`) has the work, and tells all others; it alone tells the
child of losses, keeps the state and writes the operator.
"""

import os
import signal
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import structlog
import torch
import torch.distributed as dist
from pydantic import BaseModel

from growth.fit.ranks import PeerLost, Ranks
from growth.operators.artefact import save_operator
from jobs.redaction import Redactor, redact_logs
from jobs.schema import FitPoint
from storage import Uri
from storage.folder import Folder
from telemetry.logs import configure_logs, working_on
from worker.failures import concluded
from worker.fit_group import FOLDER, OPERATOR, WORK
from worker.fit_state import FIT_STATE, FitStates, kept
from worker.fitting import fit_operator
from worker.messages import Failed, FitEnded, Fitted, Work
from worker.origins import die_with_parent, take_standard_output
from worker.planning import open_inputs
from worker.settings import WorkerSettings, device_of, open_storage

log = structlog.get_logger()


@dataclass(frozen=True)
class _Told:
    """What this process tells the child; nothing where it is not beside it."""

    child: BinaryIO | None

    def __call__(self, message: BaseModel) -> None:
        if self.child is not None:
            self.child.write(message.model_dump_json().encode() + b"\n")
            self.child.flush()


@dataclass(frozen=True)
class _States:
    """The fit's states, of which one process alone keeps any."""

    states: FitStates
    keeps: bool

    def load(self) -> bytes | None:
        return self.states.load()

    def save(self, state: bytes) -> None:
        if self.keeps:
            self.states.save(state)


def main() -> None:
    """Takes its part in one fit."""
    die_with_parent(signal.SIGKILL)
    settings = WorkerSettings()
    configure_logs(settings.log_format)
    redact_logs(Redactor(settings.secrets()))
    told = take_standard_output()
    number = int(os.environ["LOCAL_RANK"])
    device = device_of(settings, number)
    if device != "cpu":
        torch.cuda.set_device(device)
    dist.init_process_group("gloo" if device == "cpu" else "cpu:gloo,cuda:nccl")
    folder = Path(os.environ[FOLDER]) if number == 0 and FOLDER in os.environ else None
    work = _work(folder)
    tell = _Told(told if folder is not None else None)
    with working_on(job_id=work.job_id, attempt=work.attempt, request_id=work.request_id):
        outcome = concluded(lambda: _unless_lost(lambda: _fit(work, settings, device, folder, tell)))
    if isinstance(outcome, Failed):
        # By whichever is the first: with it all others beside the child are ended, who might not have told yet.
        _Told(told if FOLDER in os.environ else None)(outcome)
        # The others may wait for this process forever.
        os._exit(1)
    tell(outcome)
    dist.barrier()
    dist.destroy_process_group()


def _unless_lost(fit: Callable[[], FitEnded]) -> FitEnded:
    try:
        return fit()
    except PeerLost:
        # Nothing is told, because nothing is wrong with the job: it gets another attempt.
        log.warning("Another process of the fit is gone")
        os._exit(1)


def _work(folder: Path | None) -> Work:
    """The work, from the process that has it in its folder."""
    text = "" if folder is None else (folder / WORK).read_text()
    found: list[str | None] = [None] * dist.get_world_size()
    dist.all_gather_object(found, text)
    (told,) = filter(None, found)
    return Work.model_validate_json(told)


def _fit(
    work: Work, settings: WorkerSettings, device: str, folder: Path | None, tell: Callable[[BaseModel], None]
) -> FitEnded:
    storage = open_storage(settings)
    source = Uri.parse(str(work.request.source))
    opened = open_inputs(work, storage, Folder(storage, source))
    assert opened.corpus is not None
    assert work.request.data is not None
    reads = [source, Uri.parse(work.request.data.uri)]

    def on_point(point: FitPoint) -> None:
        tell(Fitted(point=point))

    outcome, report = fit_operator(
        opened.plan,
        opened.reader,
        opened.corpus,
        _States(kept(storage, settings.state_uri, work.job_id, reads, FIT_STATE), keeps=folder is not None),
        on_point,
        checkpoint_seconds=settings.fit_checkpoint_seconds,
        device=device,
        ranks=Ranks(spread=settings.fit_spreads_source),
    )
    if folder is not None:
        (folder / OPERATOR).write_bytes(save_operator(outcome.operator, opened.plan))
    return FitEnded(report=report)


if __name__ == "__main__":
    main()
