"""A request inside of an answer, as a client of another version reads it: fields that it does not know are left out.

A request that is sent must not have any, so that a typing error is never silently ignored. But a newer service answers
with requests of newer clients, and an older client has to read those too.
"""

from typing import Any

from pydantic import ValidationError, ValidatorFunctionWrapHandler


def without_unknown(value: Any, read: ValidatorFunctionWrapHandler) -> Any:
    """For `WrapValidator`: `value` as it is, or else without the fields that its model forbids."""
    try:
        return read(value)
    except ValidationError as error:
        unknown = [found["loc"] for found in error.errors() if found["type"] == "extra_forbidden"]
        if not unknown:
            raise
    return read(_without(value, unknown))


def _without(value: Any, places: list[tuple[int | str, ...]]) -> Any:
    """A copy less what lies at `places`; the marks of alternatives in them name no key and are passed over."""
    if not isinstance(value, dict):
        return value
    below: dict[str, list[tuple[int | str, ...]]] = {}
    for place in places:
        path = list(place)
        while path and path[0] not in value:
            path.pop(0)
        if path:
            below.setdefault(str(path[0]), []).append(tuple(path[1:]))
    return {
        name: _without(part, below[name]) if name in below else part
        for name, part in value.items()
        if () not in below.get(name, [])
    }
