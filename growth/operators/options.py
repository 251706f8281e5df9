"""A method's options: declared once as dataclass fields, checked from JSON, and told as JSON schema."""

import types
from collections.abc import Mapping
from dataclasses import MISSING, Field, field, fields
from functools import cache
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

from growth.errors import InvalidMethod

T = TypeVar("T")


def option(
    default: T, description: str, *, minimum: float | None = None, maximum: float | None = None, nested: bool = False
) -> T:
    """A dataclass field for one option; `nested` marks another method's name, or object with its options."""
    bounds = {"minimum": minimum, "maximum": maximum}
    metadata: dict[str, object] = {"description": description, "nested": nested, **bounds}
    declared: T = field(default=default, metadata=metadata)
    return declared


def check_options(kind: type[Any], name: str, given: Mapping[str, Any], pointer: str) -> dict[str, Any]:
    """The options in `given`, checked against the dataclass `kind`.

    Raises InvalidMethod for an unknown option, a wrong type or a number out of bounds, with a pointer to it.
    """
    known = {f.name: f for f in fields(kind)}
    hints = _hints(kind)  # type: ignore[arg-type]  # classes are hashable
    for key in given:
        if key not in known:
            raise InvalidMethod(
                f"Method {name!r} has no option {key[:80]!r}.",
                field=f"{pointer}/{key[:80]}",
                hint=f"Its options: {', '.join(sorted(known)) or 'none'}.",
            )
    return {key: _checked(name, known[key], hints[key], value, pointer) for key, value in given.items()}


@cache
def _hints(kind: type[Any]) -> dict[str, Any]:
    return get_type_hints(kind)


def _checked(name: str, declared: "Field[Any]", hint: Any, value: Any, pointer: str) -> Any:
    where, nested = f"{pointer}/{declared.name}", declared.metadata["nested"]
    if not (_fits_nested(value, hint) if nested else _fits(value, hint)):
        said = "a method's name, or an object with its options" if nested else _said(hint)
        raise InvalidMethod(
            f"Option {declared.name!r} of method {name!r} is {str(value)[:80]!r}; it must be {said}.", field=where
        )
    if nested:
        return value
    low, high = declared.metadata["minimum"], declared.metadata["maximum"]
    if value is not None and ((low is not None and value < low) or (high is not None and value > high)):
        bounds = " and ".join(
            s for s in (low is not None and f"at least {low}", high is not None and f"at most {high}") if s
        )
        raise InvalidMethod(
            f"Option {declared.name!r} of method {name!r} is {value}; it must be {bounds}.", field=where
        )
    return float(value) if hint is float else value


def _alternatives(hint: Any) -> tuple[Any, ...]:
    # What a Literal makes of `|` is no types.UnionType.
    return get_args(hint) if isinstance(hint, types.UnionType) or get_origin(hint) is Union else (hint,)


def _fits(value: Any, hint: Any) -> bool:
    for kind in _alternatives(hint):
        if get_origin(kind) is Literal:
            if value in get_args(kind) and isinstance(value, str):
                return True
        elif kind is float:
            if isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < float("inf"):
                return True
        elif isinstance(value, kind) and (kind is bool or not isinstance(value, bool)):
            return True
    return False


def _fits_nested(value: Any, hint: Any) -> bool:
    return isinstance(value, str | dict) or (value is None and types.NoneType in _alternatives(hint))


_WORDS = {int: "a whole number", float: "a number", bool: "true or false", str: "text", types.NoneType: "null"}
_JSON_TYPES = {int: "integer", float: "number", bool: "boolean", str: "string", types.NoneType: "null"}


def _said(hint: Any) -> str:
    words: list[str] = []
    for kind in _alternatives(hint):
        words.extend(map(repr, get_args(kind)) if get_origin(kind) is Literal else [_WORDS[kind]])
    return " or ".join(words)


def options_schema(kind: type[Any]) -> dict[str, Any]:
    """JSON schema (2020-12) of the options of the method class `kind`."""
    hints = _hints(kind)  # type: ignore[arg-type]  # classes are hashable
    properties = {f.name: _property(f, hints[f.name]) for f in fields(kind)}
    return {"type": "object", "properties": properties, "additionalProperties": False}


def _property(declared: "Field[Any]", hint: Any) -> dict[str, Any]:
    assert declared.default is not MISSING
    told = {"description": declared.metadata["description"], "default": declared.default}
    if declared.metadata["nested"]:
        kinds: list[dict[str, Any]] = [{"type": "string"}, {"type": "object"}]
        kinds += [{"type": "null"}] if types.NoneType in _alternatives(hint) else []
    else:
        kinds = [_schema_of(kind) for kind in _alternatives(hint)]
    for bound in ("minimum", "maximum"):
        if declared.metadata[bound] is not None:
            kinds = [k | {bound: declared.metadata[bound]} if k.get("type") != "null" else k for k in kinds]
    return (kinds[0] if len(kinds) == 1 else {"anyOf": kinds}) | told


def _schema_of(kind: Any) -> dict[str, Any]:
    if get_origin(kind) is Literal:
        return {"type": "string", "enum": list(get_args(kind))}
    return {"type": _JSON_TYPES[kind]}
