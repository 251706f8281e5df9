"""The pictures that code draws are those in docs/, well-formed, inside of their edges, and told in words too."""

import re
from pathlib import Path
from xml.etree import ElementTree

import pytest

from reference.pictures.__main__ import pictures
from tests.docs.pages import ROOT, page

DRAWN = pictures()
SVG = "{http://www.w3.org/2000/svg}"
# Of the widest fonts that the style names, on average.
CHARACTER_WIDTH = 7.2


@pytest.mark.parametrize("name", DRAWN)
def test_a_picture_is_the_one_that_is_drawn(name: str) -> None:
    assert (ROOT / "docs" / "images" / name).read_text(encoding="utf-8") == DRAWN[name].svg(), "run `make docs`"


@pytest.mark.parametrize("name", DRAWN)
def test_no_word_leaves_its_picture(name: str) -> None:
    root = ElementTree.fromstring(DRAWN[name].svg())
    width = float(root.attrib["width"])
    for text in root.iter(f"{SVG}text"):
        length, x = len(text.text or "") * CHARACTER_WIDTH, float(text.attrib["x"])
        left = x - length / 2 if text.attrib["text-anchor"] == "middle" else x
        assert left >= 0
        assert left + length <= width, text.text


def test_every_picture_is_shown_with_words_for_those_who_do_not_see_it() -> None:
    shown = {Path(path).name: words for words, path in re.findall(r"!\[(.*?)\]\((.*?)\)", page("docs/architecture.md"))}
    assert shown.keys() == DRAWN.keys()
    assert all(len(words) > 20 for words in shown.values())
