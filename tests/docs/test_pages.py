"""Pages link to what exists, all can be reached from the README, and decisions have one form."""

from pathlib import Path

import pytest

from tests.docs.pages import PAGES, ROOT, links, sections

DECISIONS = sorted((ROOT / "docs" / "decisions").glob("*.md"))
LINES_OF_A_PAGE = 60


def _linked(file: Path) -> set[Path]:
    return {(file.parent / link).resolve() for link in links(file) if "://" not in link}


@pytest.mark.parametrize("file", PAGES, ids=lambda file: str(file.relative_to(ROOT)))
def test_links_lead_somewhere(file: Path) -> None:
    assert [link for link in _linked(file) if not link.exists()] == []


def test_every_page_can_be_reached() -> None:
    reached, further = set[Path](), {ROOT / "README.md"}
    while further:
        reached |= further
        below = {link for file in further if file.suffix == ".md" for link in _linked(file)}
        further = {found for link in below for found in ([link] if link.is_file() else link.glob("*.md"))} - reached
    assert set(PAGES) <= reached


@pytest.mark.parametrize("file", DECISIONS, ids=lambda file: file.stem)
def test_a_decision_is_one_page_of_one_form(file: Path) -> None:
    name = str(file.relative_to(ROOT))
    title, *parts = sections(name)
    assert title.heading.startswith(f"{int(file.stem[:4])}. ")
    assert [part.heading for part in parts] == ["Context", "Decision", "Consequences", "Alternatives"]
    assert parts[1].text.strip().startswith("> **")
    assert len(file.read_text().splitlines()) <= LINES_OF_A_PAGE
