"""The sweep of rates over widths: which runs it asks for, what it makes of their losses, and a small slice of it."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from benchmarks.mutransfer.family import LLAMAS, TINY
from benchmarks.mutransfer.report import found
from benchmarks.mutransfer.runs import Result, Run
from benchmarks.mutransfer.sweep import Results, Sweep

FLOPS = {64: 1.0, 128: 4.0, 256: 16.0, 512: 64.0}


def bowl(run: Run) -> float:
    """Losses whose best rate halves with the width under the standard parametrisation, and stays under muP."""
    shift = (run.width // 128).bit_length() if run.parametrisation == "standard" else 0
    return 2.0 + (run.power + 5 + shift) ** 2


def test_rates_are_tried_until_the_best_has_worse_neighbours(tmp_path: Path) -> None:
    sweep, asked = Sweep(LLAMAS, Results(tmp_path, LLAMAS)), 0
    while missing := [run for run in sweep.wanted() if sweep.results.get(run) is None]:
        sweep.results.add(missing[0], Result(bowl(missing[0]), FLOPS[missing[0].width], 0.0))
        asked += 1

    assert [sweep.best("standard", width) for width in LLAMAS.widths] == [-5, -6, -7, -8]
    assert {sweep.best("mup", width) for width in LLAMAS.widths} == {-5}
    # Four where the search begins one off the best, else three: at a width it begins at the best of the one before.
    assert asked == (4 + 4 + 4 + 4) + (4 + 3 + 3 + 3)
    told = found(sweep)["transfer"]
    assert told["moved"] == {"standard": -3, "mup": 0}
    assert told["above"] == {"standard": 0.0, "mup": 0.0}
    assert told["cost"] == {
        "of_direct_tuning": pytest.approx(1 / 64, abs=1e-4),
        "of_one_training": pytest.approx(4 / 64),
        "with_training": pytest.approx((4 + 64) / (4 * 64), abs=1e-4),
    }


def test_widths_keep_the_heads() -> None:
    sizes = [LLAMAS.config(width).sizes for width in LLAMAS.widths]
    assert [size.hidden_size for size in sizes] == [64, 128, 256, 512]
    assert {size.head_dim for size in sizes} == {16}
    assert {size.intermediate_size / size.hidden_size for size in sizes} == {2.75}
    assert sizes[-1].as_dict().items() >= LLAMAS.recipe.target.items()


def test_a_slice_runs_and_goes_on_where_it_was(tmp_path: Path) -> None:
    first, told = _smoke(tmp_path)
    again, repeated = _smoke(tmp_path)

    assert first.count("\n") >= 4 * 3
    assert again == ""
    assert repeated == told
    assert set(told["sweeps"]) == {"standard", "mup"}
    assert set(told["sweeps"]["mup"]) == set(map(str, TINY.widths))
    assert all(loss is not None for loss in told["sweeps"]["mup"]["16"]["losses"].values())
    assert (tmp_path / "plot.svg").read_text().startswith("<?xml")


def test_the_committed_results_hold_what_the_pages_say() -> None:
    told = json.loads((Path(__file__).parents[2] / "benchmarks" / "results" / "mutransfer.json").read_text())
    moved = told["transfer"]
    assert abs(moved["moved"]["mup"]) <= 1 < abs(moved["moved"]["standard"])
    assert max(moved["above"].values()) <= 0.01
    assert moved["cost"]["of_direct_tuning"] <= 0.07


def _smoke(work: Path) -> tuple[str, dict[str, Any]]:
    """What was told of runs, and the table's object."""
    options = ["--smoke", "--json", "--workers", "1", "--work", str(work), "--plot", str(work / "plot.svg")]
    command = [sys.executable, "-m", "benchmarks.mutransfer", *options]
    ended = subprocess.run(command, capture_output=True, text=True, check=True)
    return ended.stderr, json.loads(ended.stdout)
