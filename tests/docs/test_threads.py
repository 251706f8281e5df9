"""Torch's threads sleep while they wait for each other, wherever a program of ours loads torch by itself."""

import os
import subprocess
import sys

import pytest

from tests.docs.pages import ROOT

POLICY = "OMP_WAIT_POLICY"
# OpenMP's own word on what it found, when torch loaded it.
SHOW = {"OMP_DISPLAY_ENV": "TRUE"}


def _found(package: str, **environment: str) -> str:
    bare = {name: value for name, value in os.environ.items() if name != POLICY}
    done = subprocess.run(
        [sys.executable, "-c", f"import {package}, torch"],
        cwd=ROOT,
        env={**bare, **SHOW, **environment},
        capture_output=True,
        text=True,
        check=True,
    )
    return next(line.split("'")[1] for line in done.stderr.splitlines() if POLICY in line)


@pytest.mark.skipif(sys.platform != "linux", reason="asks GNU's OpenMP")
@pytest.mark.parametrize("package", ["worker", "examples"])
def test_threads_that_wait_sleep(package: str) -> None:
    assert _found(package) == "PASSIVE"


@pytest.mark.skipif(sys.platform != "linux", reason="asks GNU's OpenMP")
def test_an_operator_may_have_it_otherwise() -> None:
    assert _found("worker", **{POLICY: "ACTIVE"}) == "ACTIVE"
