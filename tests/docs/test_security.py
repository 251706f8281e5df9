"""SECURITY.md names tests, and each of them is there."""

import ast
import re

import pytest

from tests.docs.pages import ROOT

NAMED = re.findall(r"`(tests/[a-z_/]+\.py)::(\w+)`", (ROOT / "SECURITY.md").read_text())


def test_every_line_of_the_threat_model_is_held_by_a_test() -> None:
    rows = [line for line in (ROOT / "SECURITY.md").read_text().splitlines() if line.startswith("| ")]
    threats = rows[rows.index("| threat | what is done | held by |") + 1 :]
    assert len(threats) > 10
    assert all(re.search(r"`tests/[^`]+::\w+`", row) for row in threats)


@pytest.mark.parametrize(("file", "name"), sorted(set(NAMED)))
def test_the_test_is_there(file: str, name: str) -> None:
    tree = ast.parse((ROOT / file).read_text())
    assert name in {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}
