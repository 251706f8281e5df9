"""docs/tuning.md lists every field of a search with its default, and names what its schema names."""

from pydantic_core import PydanticUndefined

from jobs.tuning import Pruner, TrialState, TuneRequest
from tests.docs.pages import page, sections

PAGE = "docs/tuning.md"
TOLD_IN_WORDS = {"search_space": "learning rates from 2^-13 to 2^-5", "pruner": "median", "labels": "{}"}


def test_every_field_is_listed_with_its_default() -> None:
    (rows,) = [
        section.rows()[: len(TuneRequest.model_fields)]
        for section in sections(PAGE)
        if section.heading == "The request"
    ]
    defaults = {
        name: TOLD_IN_WORDS.get(name, "" if field.default in (PydanticUndefined, None) else str(field.default))
        for name, field in TuneRequest.model_fields.items()
    }
    assert {name: default for name, default, _ in rows} == defaults


def test_states_and_parameters_are_named() -> None:
    text = page(PAGE)
    space = TuneRequest.model_json_schema()["properties"]["search_space"]["propertyNames"]["enum"]
    states = set(TrialState) - {TrialState.QUEUED, TrialState.RUNNING}
    assert all(f"`{name}`" in text for name in [*space, *states])


def test_numbers_of_the_pruner_are_its_defaults() -> None:
    pruner = Pruner()
    assert f"`after_trials` ({pruner.after_trials})" in page(PAGE)
    assert f"`after_fraction` ({pruner.after_fraction})" in page(PAGE)
