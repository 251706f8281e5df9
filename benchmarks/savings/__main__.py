"""How much of the training FLOPs of a larger model each growth method saves.

    python -m benchmarks.savings [--model llama|llama-small|gpt2|bert|vit] [--json] [--plot FILE] [--smoke]

Every run's result is kept in the working directory: what was interrupted goes on.
"""

import argparse
import json
from collections.abc import Mapping
from functools import partial
from pathlib import Path

from benchmarks.savings import methods, recipe, report
from benchmarks.savings.cache import Results
from benchmarks.savings.pool import run_all
from benchmarks.savings.recipe import Recipe
from benchmarks.savings.runs import execute
from benchmarks.savings.search import Course, Search

LADDER = (100, 200, 300, 400, 600, 800)
LATE_LADDER = (200, 300, 400, 600)
MODELS: Mapping[str, tuple[Recipe, Search]] = {
    "llama": (recipe.LLAMA, Search(1600, 2e-3, 1e-3, LADDER, 200, 200, methods.LLAMA)),
    "llama-small": (recipe.LLAMA_SMALL, Search(800, 4e-3, 2e-3, LADDER, 300, 100, methods.LLAMA_SMALL)),
    "gpt2": (recipe.GPT2, Search(800, 4e-3, 4e-3, LATE_LADDER, 300, 100, methods.PRE_LN)),
    "bert": (recipe.BERT, Search(800, 2e-3, 2e-3, LATE_LADDER, 300, 100, methods.POST_LN)),
    "vit": (recipe.VIT, Search(800, 2e-3, 2e-3, LATE_LADDER, 300, 100, methods.PRE_LN)),
}
SMOKE = (recipe.TINY, Search(40, 1e-2, 1e-2, (4, 8, 16, 32), 8, 8, methods.TINY))


def main() -> None:
    """Run what is missing, and tell what is known."""
    given = _arguments()
    used, search = SMOKE if given.smoke else MODELS[given.model]
    results = Results(given.work, used)
    course = Course(search, used, given.seeds, results)
    run_all(course.wanted, partial(execute, used, work=given.work), results, given.workers, given.minutes)
    told = report.found(course)
    print(json.dumps(told, indent=1) if given.json else "\n".join(report.lines(told)))
    if given.plot is not None:
        report.plot(course, given.plot)


def _arguments() -> argparse.Namespace:
    arguments = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    arguments.add_argument("--model", choices=list(MODELS), default="llama")
    arguments.add_argument("--seeds", type=int, nargs="+", default=[0, 1])
    arguments.add_argument("--workers", type=int, default=2, help="processes, of one thread each")
    arguments.add_argument("--minutes", type=float, default=1e6, help="after these no further run is started")
    arguments.add_argument("--work", type=Path, default=Path(".savings"), help="where results and sources are kept")
    arguments.add_argument("--smoke", action="store_true", help="tiny settings, for a minute")
    arguments.add_argument("--json", action="store_true")
    arguments.add_argument("--plot", type=Path, help="an SVG file")
    return arguments.parse_args()


if __name__ == "__main__":
    main()
