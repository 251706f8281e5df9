"""The comparison of savings: which runs it asks for, what it makes of their losses, and a small slice of all of it."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from benchmarks.savings.runs import Result
from benchmarks.savings.savings import flops_to_goal
from benchmarks.savings.search import bracket, next_steps

LADDER = (100, 200, 300, 400)


def _result(loss: float, flops: float = 1.0, fit_flops: float = 0.0) -> Result:
    return Result(loss, flops, fit_flops, None, 0.0)


@pytest.mark.parametrize(("best", "asked"), [(2.0, 3), (8.0, 5), (0.5, 5)])
def test_rates_are_tried_until_the_best_has_worse_neighbours(best: float, asked: int) -> None:
    known: dict[float, Result] = {}
    found = bracket(2.0, known.get)
    while found.missing:
        known |= {rate: _result(abs(rate - best)) for rate in found.missing}
        found = bracket(2.0, known.get)

    assert found.best == best
    assert len(known) == asked


@pytest.mark.parametrize(
    ("losses", "steps"),
    [
        ({}, 300),
        ({100: 3.0}, 300),
        ({100: 3.0, 300: 2.5}, 400),
        ({100: 3.0, 300: 1.5}, 200),
        ({100: 3.0, 200: 2.5, 300: 1.5}, None),
        ({100: 1.5}, None),
        ({100: 3.0, 300: 2.5, 400: 2.4}, None),
    ],
)
def test_budgets_are_tried_until_two_neighbours_have_the_goal_between_them(
    losses: dict[int, float], steps: int | None
) -> None:
    assert next_steps(LADDER, 300, losses, 2.0) == steps


def test_flops_are_read_off_between_two_budgets() -> None:
    results = {100: _result(3.0, 90.0, 10.0), 200: _result(1.0, 390.0, 10.0)}

    between = flops_to_goal(results, 2.0)
    assert between is not None
    assert between[0] == pytest.approx(200.0)
    assert not between[1]
    assert flops_to_goal(results, 3.5) == (100.0, True)
    assert flops_to_goal(results, 0.5) is None


def test_a_slice_runs_and_goes_on_where_it_was(tmp_path: Path) -> None:
    first, told = _smoke(tmp_path)
    again, repeated = _smoke(tmp_path)

    assert first.count("\n") > 20
    assert again == ""
    assert repeated == told
    assert {row["method"]["name"] for row in told["methods"]} == {"pad", "lemon", "ligo", "random"}
    assert all(row["savings"] for row in told["methods"])
    scratch, grown = told["random_beside_scratch"]["losses"]
    assert scratch == pytest.approx(grown, abs=0.3)
    assert (tmp_path / "plot.svg").read_text().startswith("<?xml")


def _smoke(work: Path) -> tuple[str, dict[str, Any]]:
    """What was told of runs, and the table's object."""
    options = ["--smoke", "--json", "--workers", "1", "--work", str(work), "--plot", str(work / "plot.svg")]
    command = [sys.executable, "-m", "benchmarks.savings", *options]
    ended = subprocess.run(command, capture_output=True, text=True, check=True)
    return ended.stderr, json.loads(ended.stdout)
