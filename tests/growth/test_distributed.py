"""A fit that several processes share takes the steps of one that runs alone."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from tests.growth.distributed_fit import CASES, OPTIONS
from tests.growth.fit_bench import Bench, quiet

TOLERANCE = 2e-6
"""Of losses that stock modules take in float32, whatever the weights' dtype."""


def shared(case: str, processes: int, folder: Path, *, spread: bool) -> list[list[float | None]]:
    """The curve of a fit by so many processes on this machine."""
    out = folder / "curve.json"
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={processes}"]
    command += ["-m", "tests.growth.distributed_fit", str(folder / "sources"), str(out), case]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    subprocess.run([*command, *(["spread"] if spread else [])], check=True, env=environment, timeout=240)
    curve: list[list[float | None]] = json.loads(out.read_text())
    return curve


@pytest.mark.parametrize(
    ("case", "processes", "spread"),
    [("llama", 2, False), ("llama", 4, True), ("bert", 2, True), ("bert", 4, False), ("gpt2", 2, True)],
)
def test_the_losses_are_those_of_one_process(case: str, processes: int, spread: bool, tmp_path: Path) -> None:
    found = shared(case, processes, tmp_path, spread=spread)
    alone = Bench.of(CASES[case], tmp_path / "alone", torch.float64, **OPTIONS).fit().run(quiet, quiet).curve
    assert [step for step, _, _ in found] == [point.step for point in alone]
    assert [loss for _, loss, _ in found[1:]] == pytest.approx([point.loss for point in alone[1:]], abs=TOLERANCE)
    held_out = [
        (loss, point.held_out_loss) for (_, _, loss), point in zip(found, alone, strict=True) if loss is not None
    ]
    assert len(held_out) == 3
    for ours, theirs in held_out:
        assert ours == pytest.approx(theirs, abs=TOLERANCE)
