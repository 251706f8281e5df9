"""Whether the best learning rate stays when a model widens eightfold, and what tuning on a proxy costs.

    python -m benchmarks.mutransfer [--json] [--plot FILE] [--smoke]

Every run's result is kept in the working directory: what was interrupted goes on.
"""

import argparse
import json
from functools import partial
from pathlib import Path

from benchmarks.mutransfer import report
from benchmarks.mutransfer.family import LLAMAS, TINY
from benchmarks.mutransfer.runs import execute
from benchmarks.mutransfer.sweep import Results, Sweep
from benchmarks.savings.pool import run_all


def main() -> None:
    """Run what is missing, and tell what is known."""
    given = _arguments()
    family = TINY if given.smoke else LLAMAS
    results = Results(given.work, family)
    sweep = Sweep(family, results, tuple(given.seeds))
    run_all(sweep.wanted, partial(execute, family), results, given.workers, given.minutes)
    told = report.found(sweep)
    print(json.dumps(told, indent=1) if given.json else "\n".join(report.lines(told)))
    if given.plot is not None:
        report.plot(told, given.plot)


def _arguments() -> argparse.Namespace:
    arguments = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    arguments.add_argument("--seeds", type=int, nargs="+", default=[0])
    arguments.add_argument("--workers", type=int, default=2, help="processes, of one thread each")
    arguments.add_argument("--minutes", type=float, default=1e6, help="after these no further run is started")
    arguments.add_argument("--work", type=Path, default=Path(".mutransfer"), help="where results are kept")
    arguments.add_argument("--smoke", action="store_true", help="tiny settings, for a few seconds")
    arguments.add_argument("--json", action="store_true")
    arguments.add_argument("--plot", type=Path, help="an SVG file")
    return arguments.parse_args()


if __name__ == "__main__":
    main()
