"""The benchmark of a fit's cost runs through, at tiny sizes, and its picture can be drawn."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from benchmarks.fit_cost.__main__ import main
from benchmarks.fit_cost.plot import plot


@pytest.fixture
def _threads() -> Iterator[None]:
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


@pytest.mark.usefixtures("_threads")
def test_every_part_is_measured_and_plotted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main(["--smoke", "--json", "--threads", "1"])
    found = json.loads(capsys.readouterr().out)

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
