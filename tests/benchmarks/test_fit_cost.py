"""The benchmark of a fit's cost runs through, at tiny sizes, and its picture can be drawn."""

import json
import os
import subprocess
import sys
from pathlib import Path

from benchmarks.fit_cost.plot import plot

ROOT = Path(__file__).parents[2]


def test_every_part_is_measured_and_plotted(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "benchmarks.fit_cost", "--smoke", "--json", "--threads", "1"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    run = subprocess.run(command, cwd=ROOT, env=environment, check=True, stdout=subprocess.PIPE, text=True)
    found = json.loads(run.stdout)

    assert found["machine"]["threads"] == 1
    assert found["options"]["rank 64"] == {"rank": 64}
    (timed,) = found["time"]["cases"]
    assert timed["options"]["rank 64"]["flops_ratio"] > 0
    (held,) = found["memory"]["cases"]
    assert held["options"]["rank 64"]["peak_mebibytes"] > 0
    for case in found["quality"]["cases"]:
        for sets in case["residuals"].values():
            assert abs(sets["full rank"]["gap"]) < 1e-3, "how weights are applied changes no loss"

    plot(found, tmp_path / "fit_cost.svg")
    assert "<svg" in (tmp_path / "fit_cost.svg").read_text()
