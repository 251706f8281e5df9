"""One clear sentence and one pointer from what pydantic says about a request."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel

from jobs.schema import SOURCE_TAGS, STORAGE_URI_PATTERN, UNTRAINED_TAG, Data, GrowthRequest, Pretraining, Untrained
from jobs.search_space import SPACE_TAGS
from jobs.tuning import DERIVED_TAG, GIVEN_TAG, TUNE_TAGS, DerivedProxy, GivenProxy, Pruner, TuneRequest

SHOWN_CHARACTERS = 80
PLACES = "Give s3://bucket/prefix, or file:///absolute/folder on the machine of the service."
Models = Mapping[tuple[str | int, ...], type[BaseModel]]
"""What stands where in a body."""
GROWTH: Models = {
    (): GrowthRequest,
    ("data",): Data,
    ("source", UNTRAINED_TAG): Untrained,
    ("source", UNTRAINED_TAG, "pretrain"): Pretraining,
}
SEARCH: Models = {
    (): TuneRequest,
    ("data",): Data,
    ("pretrain",): Pretraining,
    ("proxy", DERIVED_TAG): DerivedProxy,
    ("proxy", GIVEN_TAG): GivenProxy,
    ("pruner",): Pruner,
}
_MARKS = SOURCE_TAGS | SPACE_TAGS | TUNE_TAGS | {"[key]"}


@dataclass(frozen=True, slots=True)
class Explanation:
    sentence: str
    field: str | None
    """A JSON pointer into the body; None where the body is not to blame."""
    hint: str | None = None


def explain(found: Sequence[Mapping[str, Any]], models: Models) -> Explanation:
    """What is wrong with a request, from pydantic's errors of which the first is told."""
    error = found[0]
    place, *path = error["loc"]
    if place != "body":
        name = str(path[0]) if path else place
        return Explanation(f"The {place} parameter {name!r} can't be used: {_said(error)}.", None)
    explanation = _explain_body(error, tuple(path), models)
    if len(found) == 1:
        return explanation
    more = f"{len(found) - 1} more of the request's fields can't be used."
    return Explanation(explanation.sentence, explanation.field, f"{explanation.hint or ''} {more}".strip())


def _explain_body(error: Mapping[str, Any], path: tuple[str | int, ...], models: Models) -> Explanation:
    kind, field = error["type"], _pointer(path)
    if kind == "json_invalid":
        return Explanation(f"The body is not valid JSON: {error['ctx']['error']}, at character {path[0]}.", "")
    if kind == "value_error" and not path:
        return Explanation(f"The request can't be used: {_said(error)}.", "")
    if not path:
        return Explanation(
            "The body must be a JSON object.", "", 'Send it with the header "Content-Type: application/json".'
        )
    if kind == "missing":
        return Explanation(f"The field {field} is missing; add it.", field)
    if kind == "extra_forbidden":
        model = models.get(path[:-1])
        hint = f"Fields there: {', '.join(model.model_fields)}." if model else None
        return Explanation(f"There is no field {field}; leave it out or correct its name.", field, hint)
    if kind == "string_pattern_mismatch" and error["ctx"]["pattern"] == STORAGE_URI_PATTERN:
        return Explanation(f"The field {field} is no place in a store.", field, PLACES)
    return Explanation(f"The field {field} can't be used: {_said(error)}.", field)


def _said(error: Mapping[str, Any]) -> str:
    message = str(error["msg"]).removeprefix("Value error, ").rstrip(".")
    return message[:1].lower() + message[1:]


def _pointer(path: tuple[str | int, ...]) -> str:
    """RFC 6901, without the marks of keys and of alternatives that pydantic adds."""
    parts = [str(part)[:SHOWN_CHARACTERS] for part in path if part not in _MARKS]
    return "".join("/" + part.replace("~", "~0").replace("/", "~1") for part in parts)
