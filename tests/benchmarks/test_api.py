"""The benchmark of the API runs through, at tiny sizes."""

import json

import pytest

from benchmarks.api.__main__ import main


def test_every_part_is_measured(capsys: pytest.CaptureFixture[str]) -> None:
    main(["--smoke", "--json"])
    found = json.loads(capsys.readouterr().out)
    assert found["rates"]["ratio"] > 0
    assert len(found["rates"]["at_half_the_peak"]["p99_milliseconds"]) == 1
    assert found["records"]["records"] == found["records"]["keys"] < found["records"]["requests"]
    assert found["listeners"]["listeners_with_every_event_in_order"] == found["listeners"]["listeners"] == 10
    assert all(page["ratio"] > 0 for page in found["listing"]["pages"].values())
