"""docs/methods.md lists every method and option, with the default that it has."""

import json
from typing import Any

import pytest

from growth.operators import METHODS, describe_methods
from tests.docs.pages import sections

OTHERS = {"Methods", "Mixtures of experts", "Symmetry", "How it picks", "What is learned", "What a step costs"}
PAGE = {s.heading: s for s in sections("docs/methods.md") if s.heading not in OTHERS}
OPTIONS: dict[str, dict[str, Any]] = {method.name: method.options["properties"] for method in describe_methods()}


def test_every_method_has_a_section() -> None:
    assert set(PAGE) == set(METHODS)


@pytest.mark.parametrize("name", METHODS)
def test_every_option_is_listed_with_its_default(name: str) -> None:
    listed = {option: json.loads(default) for option, default, _ in PAGE[name].rows()}
    assert listed == {option: told["default"] for option, told in OPTIONS[name].items()}
