"""`python -m worker.fit_node`: a further machine for fits that several share; it joins one after the other."""

import signal
import subprocess
import time
from typing import NoReturn

import structlog

from jobs.redaction import Redactor, redact_logs
from jobs.startup import starting
from telemetry.logs import configure_logs
from worker.origins import die_with_parent
from worker.settings import WorkerSettings
from worker.torchrun import torchrun

WAIT_SECONDS = 1.0

log = structlog.get_logger()


def main() -> NoReturn:
    """Waits for the worker at GROW_FIT_RENDEZVOUS, takes part in its fit, and waits again."""
    with starting():
        settings = WorkerSettings()
    configure_logs(settings.log_format)
    redact_logs(Redactor(settings.secrets()))
    if settings.fit_nodes == 1:
        raise SystemExit("GROW_FIT_NODES is 1: there is no fit for this machine to join; set it as the worker has it.")
    while True:
        run = subprocess.run(torchrun(settings), check=False, preexec_fn=_die_too)  # noqa: S603, a command of our own
        log.info("A fit has ended", code=run.returncode)
        time.sleep(WAIT_SECONDS)


def _die_too() -> None:
    die_with_parent(signal.SIGTERM)


if __name__ == "__main__":
    main()
