"""docs/architectures.md is what the tables say today."""

from pathlib import Path

from growth.architectures import ARCHITECTURES
from growth.catalogue import architectures_page
from tests.docs.pages import ROOT


def test_the_page_is_up_to_date() -> None:
    found = Path(ROOT, "docs/architectures.md").read_text()
    assert found == architectures_page(), "run `make docs`"
    assert all(f"## `{family}`" in found for family in ARCHITECTURES)
