"""The page on muTransfer: its example runs, and its figures are those of the committed benchmark."""

import json
import re
from pathlib import Path
from typing import Any

from growth.transfer_plan import TransferPlan
from tests.docs.pages import ROOT, Section, blocks, sections

PAGE = "docs/mutransfer.md"


def _section(heading: str) -> Section:
    (found,) = [section for section in sections(PAGE) if section.heading == heading]
    return found


def test_the_example_makes_an_optimizer_for_every_parameter(models: Path) -> None:
    (example,) = blocks(PAGE, "python")
    names: dict[str, Any] = {}
    exec(example.replace("/models/", f"{models}/"), names)
    groups = names["optimizer"].param_groups
    assert sum(len(group["params"]) for group in groups) == len(list(names["model"].parameters()))
    assert {group["lr"] for group in groups} == {3e-4, 1.5e-4}


def test_every_key_of_the_file_is_told(models: Path) -> None:
    (example,) = blocks(PAGE, "python")
    names: dict[str, Any] = {}
    exec(example.replace("/models/", f"{models}/"), names)
    plan: TransferPlan = names["plan"]
    told = {key for row in _section("After a growth").rows() for key in re.findall(r"\w+", row[0])}
    assert told == plan.to_json().keys() - {"format"} | {"refused"}


def test_figures_are_those_of_the_benchmark() -> None:
    found = json.loads((ROOT / "benchmarks" / "results" / "mutransfer.json").read_text())
    for label, *cells in _section("What it does to the best rate").rows():
        widths = found["sweeps"]["mup" if label == "muP" else label]
        best = [(at["best_power"], at["losses"][str(at["best_power"])]) for at in widths.values()]
        assert cells == [f"2^{power} ({loss:.3f})" for power, loss in best]
    text, cost = _section("What it does to the best rate").text, found["transfer"]["cost"]
    assert f"{100 * cost['of_direct_tuning']:.1f} % of the FLOPs" in text
    assert f"{100 * cost['of_one_training']:.1f} % of those of one training" in text
    assert f"{-100 * found['transfer']['above']['standard']:.1f} % below" in text
