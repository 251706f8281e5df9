"""The documentation as data: its pages, their examples, tables and links."""

import re
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGES = sorted([ROOT / "README.md", ROOT / "CHANGELOG.md", *(ROOT / "docs").rglob("*.md")])
_BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"\]\(([^)#\s]+)")


@dataclass(frozen=True)
class Section:
    """What stands below one heading, down to the next of any level."""

    heading: str
    text: str

    def rows(self) -> list[list[str]]:
        """The cells of every table row but its heading; the marks of code are taken off a cell that is code alone."""
        lines = [line for line in self.text.splitlines() if line.startswith("|")]
        starts = [number for number, line in enumerate(lines) if set(line) <= set("|-")]
        body = [line for number, line in enumerate(lines) if number not in starts and number + 1 not in starts]
        return [[_plain(cell) for cell in line.strip("|").split("|")] for line in body]


def page(name: str) -> str:
    """The text of a page, by its path in the repository."""
    return (ROOT / name).read_text()


def blocks(name: str, language: str) -> list[str]:
    """The examples of a page in one language, in their order."""
    return [text for marked, text in _BLOCK.findall(page(name)) if marked == language]


def sections(name: str) -> list[Section]:
    """The sections of a page, in their order."""
    parts = re.split(r"^#+ (.*)$", _BLOCK.sub("", page(name)), flags=re.MULTILINE)
    return [Section(_plain(heading), text) for heading, text in zip(parts[1::2], parts[2::2], strict=True)]


def links(file: Path) -> list[str]:
    """What a page links to."""
    return _LINK.findall(file.read_text())


def _plain(cell: str) -> str:
    cell = cell.strip()
    return cell[1:-1] if re.fullmatch(r"`[^`]+`", cell) else cell
