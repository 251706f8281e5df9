"""The figures as one picture.

python -m benchmarks.fit_cost.plot RESULTS.json PICTURE.svg
"""

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import matplotlib as mpl

mpl.use("Agg")

from matplotlib import pyplot

# The same figures make the same file.
mpl.rcParams["svg.hashsalt"] = "fit_cost"
WANTED = {"time": 1.0, "memory": 0.6, "gap": 0.005}


def plot(found: Mapping[str, Any], file: Path) -> None:
    """Bars of time, memory and loss for every set of options, one colour for each case, beside what is wanted."""
    figure, (time, memory, gap) = pyplot.subplots(1, 3, figsize=(17, 6.5), layout="constrained")
    _bars(time, _ratios(found["time"], "time_ratio"), WANTED["time"], "seconds of a fit step over a plain step's")
    _bars(memory, _ratios(found["memory"], "memory_ratio"), WANTED["memory"], "peak memory over plain training's")
    _bars(gap, _gaps(found["quality"]), WANTED["gap"], "held-out loss above the dense fit's, nats per byte")
    figure.savefig(file, metadata={"Date": None})
    pyplot.close(figure)


def _ratios(part: Mapping[str, Any], key: str) -> dict[str, dict[str, float]]:
    return {case["case"]: {name: cost[key] for name, cost in case["options"].items()} for case in part["cases"]}


def _gaps(part: Mapping[str, Any]) -> dict[str, dict[str, float]]:
    return {
        case["case"]: {
            f"{residual}:\n{name}": fit["gap"]
            for residual, sets in case["residuals"].items()
            for name, fit in sets.items()
            if not name.startswith("dense")
        }
        for case in part["cases"]
    }


def _bars(axes: Any, cases: Mapping[str, Mapping[str, float]], wanted: float, told: str) -> None:
    names = list(dict.fromkeys(name for values in cases.values() for name in values))
    height = 0.8 / len(cases)
    for number, (case, values) in enumerate(cases.items()):
        places = [names.index(name) + number * height for name in values]
        axes.barh(places, list(values.values()), height, label=case)
    axes.axvline(wanted, color="black", linestyle="--", label=f"wanted: at most {wanted}")
    axes.set_yticks([place + 0.4 - height / 2 for place in range(len(names))], names, fontsize=7)
    axes.invert_yaxis()
    axes.set_xlabel(told)
    axes.legend(fontsize=7, loc="lower center", bbox_to_anchor=(0.5, 1.0))


if __name__ == "__main__":
    _results, _picture = map(Path, sys.argv[1:])
    plot(json.loads(_results.read_text()), _picture)
