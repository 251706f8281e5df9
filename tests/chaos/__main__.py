"""`python -m tests.chaos --seed 1 --jobs 200`: one run, and its report where it is wanted.

`python -m tests.chaos --table REPORT...` prints the table of reports.
"""

import argparse
import signal
import sys
from pathlib import Path

from tests.chaos.report import Report, markdown
from tests.chaos.run import Run, chaos, scratch

JOBS_PER_FAULT = 3
SECONDS_PER_JOB = 4.0


def main() -> int:
    """0 where nothing was violated."""
    parser = argparse.ArgumentParser(prog="python -m tests.chaos")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--jobs", type=int, default=200)
    parser.add_argument("--store", choices=["moto", "rclone"], default="moto")
    parser.add_argument("--workers", type=int, default=3)
    parser.add_argument("--report", type=Path, help="a folder for the report")
    parser.add_argument("--logs", type=Path, help="an empty folder that the logs stay in")
    parser.add_argument("--table", type=Path, nargs="+", help="reports to print a table of, instead of a run")
    told = parser.parse_args()
    for number in (signal.SIGINT, signal.SIGTERM):
        # Also in the background of a shell: what was started has to be stopped.
        signal.signal(number, signal.default_int_handler)
    if told.table:
        sys.stdout.write(markdown([Report.model_validate_json(path.read_text()) for path in told.table]))
        return 0
    run = Run(
        seed=told.seed,
        jobs=told.jobs,
        faults=max(1, told.jobs // JOBS_PER_FAULT),
        store=told.store,
        workers=told.workers,
        limit_seconds=180 + SECONDS_PER_JOB * told.jobs,
    )
    with scratch() as name:
        folder = told.logs or Path(name)
        folder.mkdir(parents=True, exist_ok=True)
        found = chaos(run, folder)
    text = found.model_dump_json(indent=2) + "\n"
    if told.report is not None:
        (told.report / f"chaos-{told.store}-{told.seed}.json").write_text(text)
    sys.stdout.write(text)
    return 1 if found.violations else 0


if __name__ == "__main__":
    sys.exit(main())
