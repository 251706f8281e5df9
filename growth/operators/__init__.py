"""The growth methods by name, and their parsing from a request."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from growth.errors import InvalidMethod
from growth.operators.auto import Auto
from growth.operators.depth import Identity, Interpolate, Solar, Stack
from growth.operators.hypercloning import HyperCloning
from growth.operators.lemon import Lemon
from growth.operators.ligo import Ligo
from growth.operators.method import DepthMethod, Method, Nested, WidthMethod
from growth.operators.net2net import Bert2Bert, Net2Net
from growth.operators.options import check_options, options_schema
from growth.operators.pad import Pad
from growth.operators.random_init import RandomInit

METHODS: Mapping[str, type[Method]] = {
    method.name: method
    for method in (
        *(RandomInit, Pad, Stack, Interpolate, Solar, Identity),
        *(Net2Net, Bert2Bert, HyperCloning, Lemon, Ligo, Auto),
    )
}


@dataclass(frozen=True, slots=True)
class MethodInfo:
    """A method as a list of methods tells it."""

    name: str
    summary: str
    paper: str
    fits: bool
    options: dict[str, Any]
    """JSON schema of the options."""


def describe_methods() -> list[MethodInfo]:
    """Every method, with the schema of its options."""
    return [MethodInfo(m.name, m.summary, m.paper, m.fits, options_schema(m)) for m in METHODS.values()]


def parse_method(value: Nested, pointer: str = "/method") -> Method:
    """The method that a name, or an object with `name` and options, stands for.

    Raises InvalidMethod, with a JSON pointer below `pointer`, for an unknown name or option; nested methods included.
    """
    given: Mapping[str, Any] = {"name": value} if isinstance(value, str) else value
    name = given.get("name")
    if not isinstance(name, str) or name not in METHODS:
        raise InvalidMethod(
            f"There is no method {str(name)[:80]!r}.", field=f"{pointer}/name", hint=f"Known: {', '.join(METHODS)}."
        )
    kind = METHODS[name]
    options = {key: option for key, option in given.items() if key != "name"}
    method = kind(**check_options(kind, name, options, pointer))
    _check_nested(options, pointer)
    return method


def _check_nested(options: Mapping[str, Any], pointer: str) -> None:
    for key, parse, idle in (
        ("depth", depth_method, "width"),
        ("width", width_method, "depth"),
        ("init", parse_method, ""),
    ):
        nested = options.get(key)
        if nested is None:
            continue
        if isinstance(nested, dict) and idle in nested:
            raise InvalidMethod(
                f"Option {idle!r} has no effect inside {key!r}; the method around it decides.",
                field=f"{pointer}/{key}/{idle}",
            )
        parse(nested, f"{pointer}/{key}")


def depth_method(value: Nested, pointer: str = "/method/depth") -> DepthMethod:
    """As `parse_method`, for a method that adds layers."""
    method = parse_method(value, pointer)
    if not isinstance(method, DepthMethod):
        raise _other_kind(method, "depth", [n for n, m in METHODS.items() if issubclass(m, DepthMethod)], pointer)
    return method


def width_method(value: Nested, pointer: str = "/method/width") -> WidthMethod:
    """As `parse_method`, for a method that widens."""
    method = parse_method(value, pointer)
    if not isinstance(method, WidthMethod):
        raise _other_kind(method, "width", [n for n, m in METHODS.items() if issubclass(m, WidthMethod)], pointer)
    return method


def _other_kind(method: Method, kind: str, names: list[str], pointer: str) -> InvalidMethod:
    return InvalidMethod(f"{method.name!r} is no {kind} method: take {', '.join(names)}.", field=pointer)
