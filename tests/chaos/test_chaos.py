"""A short run in every test suite; `make chaos SEED=1 JOBS=200` is the long one."""

from pathlib import Path

import pytest

from tests.chaos.run import Run, chaos

SMALL = Run(seed=20, jobs=8, faults=4, store="moto", workers=2, limit_seconds=400)


@pytest.mark.timeout(600)
def test_nothing_is_lost_and_nothing_twice(tmp_path: Path) -> None:
    found = chaos(SMALL, tmp_path)
    assert not found.violations
    assert found.outcomes["succeeded"] >= 1
    assert sum(found.faults.values()) >= 3
