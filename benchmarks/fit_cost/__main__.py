"""Time, operations and memory of a step of a LiGO fit beside a plain training step, and what cheaper options lose.

    python -m benchmarks.fit_cost [--json] [--rounds N] [--threads N] [--parts ...] [--cases ...] [--sets ...] [--smoke]

`--json` prints one object; `--parts` (time, memory, quality), `--cases` and `--sets` measure less; `--smoke` runs
everything once with tiny sizes.
"""

import argparse
import json
import os
import platform
import sys
import tempfile
from pathlib import Path
from typing import Any

import torch
import transformers

from benchmarks.fit_cost import memory, quality, timing
from benchmarks.fit_cost.cases import BASE, CASES, SETS, sets_of

SMOKE = "smoke"
SMOKE_SETS = ["rank 64"]
PARTS = ("time", "memory", "quality")


def main(given_arguments: list[str] | None = None) -> None:
    """Run the measurements and print what was found."""
    arguments = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    arguments.add_argument("--rounds", type=int, default=9)
    arguments.add_argument("--threads", type=int, default=2)
    arguments.add_argument("--parts", nargs="+", choices=PARTS, default=PARTS)
    arguments.add_argument("--cases", nargs="+", choices=list(CASES), default=[name for name in CASES if name != SMOKE])
    arguments.add_argument("--sets", nargs="+", choices=list(SETS), default=list(SETS))
    arguments.add_argument("--smoke", action="store_true")
    arguments.add_argument("--json", action="store_true")
    given = arguments.parse_args(given_arguments)
    transformers.logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    torch.set_num_threads(given.threads)
    with tempfile.TemporaryDirectory() as folder:
        names, rounds = ([SMOKE], 1) if given.smoke else (given.cases, given.rounds)
        sets = SMOKE_SETS if given.smoke else given.sets
        found = _measured(Path(folder), rounds, given.parts, names, sets)
    print(json.dumps(found, indent=1) if given.json else "\n".join(_lines(found)))


def _measured(folder: Path, rounds: int, parts: list[str], names: list[str], sets: list[str]) -> dict[str, Any]:
    smoke = names == [SMOKE]
    told: dict[str, Any] = {
        "machine": {"cores": os.cpu_count(), "system": platform.platform(terse=True), "threads": timing.threads()},
        "torch": torch.__version__,
        "rounds": rounds,
        "options": {"all": dict(BASE), **{name: dict(given) for name, given in SETS.items()}},
    }
    if "quality" in parts:
        told["quality"] = {"cases": _quality(folder, smoke=smoke)}
    if "memory" in parts:
        told["memory"] = {"floor": memory.FLOOR, "cases": []}
        for name in names:
            _progress(f"memory of {name}")
            measured = memory.measure(name, folder / f"memory-{name}", list(sets_of(CASES[name], sets)))
            told["memory"]["cases"].append(measured)
    if "time" in parts:
        told["time"] = {"floor": timing.FLOOR, "cases": []}
        for name in names:
            _progress(f"time of {name}")
            measured = timing.measure(CASES[name], folder / f"time-{name}", rounds, sets_of(CASES[name], sets))
            told["time"]["cases"].append(measured)
    return told


def _quality(folder: Path, *, smoke: bool) -> list[dict[str, Any]]:
    effort = quality.Effort(2, 2, 2, 2, ("residual in 1 group",)) if smoke else quality.Effort()
    found = []
    for told, sizes in list(quality.SOURCES.items())[: 1 if smoke else None]:
        _progress(f"quality of {told}")
        found.append(quality.measure(told, sizes, folder / f"quality-{sizes.family}", effort))
    return found


def _progress(told: str) -> None:
    print(told, file=sys.stderr, flush=True)


def _lines(found: dict[str, Any]) -> list[str]:
    lines = []
    for case in found.get("time", {}).get("cases", []):
        for name, cost in case["options"].items():
            lines.append(f"{case['case']}, {name}: {cost['time_ratio']} of a plain step, CPU {cost['cpu_ratio']}")
    for case in found.get("memory", {}).get("cases", []):
        for name, cost in case["options"].items():
            lines.append(f"{case['case']}, {name}: {cost['memory_ratio']} of a plain step's memory")
    for case in found.get("quality", {}).get("cases", []):
        for residual, sets in case["residuals"].items():
            for name, fit in sets.items():
                lines.append(f"{case['case']}, {residual}, {name}: loss {fit['losses']}, gap {fit['gap']}")
    return lines


if __name__ == "__main__":
    main()
