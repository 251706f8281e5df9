"""Methods from a request: their options checked, and described by a JSON schema that says the same."""

import json
from collections.abc import Mapping
from math import isfinite
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator  # type: ignore[import-untyped]

from growth.errors import InvalidMethod
from growth.operators import METHODS, describe_methods, parse_method
from growth.operators.method import Nested

DEPTH_METHODS = ("stack", "interpolate", "solar", "identity")
WIDTH_METHODS = ("net2net", "bert2bert", "hypercloning", "lemon")
NAMES = ("random", "pad", *DEPTH_METHODS, *WIDTH_METHODS, "ligo", "auto")
SCHEMAS = {info.name: info.options for info in describe_methods()}


def test_every_method_is_described() -> None:
    assert tuple(METHODS) == NAMES == tuple(SCHEMAS)
    for info in describe_methods():
        assert info.summary.endswith(".")
        assert info.paper
        assert info.fits == (info.name == "ligo")


@pytest.mark.parametrize("name", NAMES)
def test_schemas_are_valid_json_schema(name: str) -> None:
    schema = SCHEMAS[name]
    Draft202012Validator.check_schema(schema)
    json.dumps(schema, allow_nan=False)
    assert schema["additionalProperties"] is False
    for option in schema["properties"].values():
        assert option["description"].endswith(".")
        Draft202012Validator(option).validate(option["default"])


@pytest.mark.parametrize("name", NAMES)
def test_defaults_are_what_a_bare_name_means(name: str) -> None:
    defaults = {key: option["default"] for key, option in SCHEMAS[name]["properties"].items()}
    assert parse_method(name).described() == {"name": name, **defaults}
    assert parse_method({"name": name, **defaults}) == parse_method(name) == parse_method({"name": name})


OPTIONS = [(name, option) for name in NAMES for option in SCHEMAS[name]["properties"]]
NESTED = ("depth", "width", "init")
values = (
    st.none()
    | st.booleans()
    | st.integers(-10, 2_000_000)
    | st.floats().filter(lambda number: not number.is_integer())
    | st.sampled_from(["linear", "cosine", "none", "stack", "", "s3://bucket/operator.safetensors"])
    | st.lists(st.integers(), max_size=2)
)


def accepted(name: str, option: str, value: object) -> bool:
    try:
        parsed = parse_method({"name": name, option: value})
    except InvalidMethod:
        return False
    return bool(getattr(parsed, option) == value)


@settings(deadline=None, max_examples=300)
@given(chosen=st.sampled_from([o for o in OPTIONS if o[1] not in NESTED]), value=values)
def test_the_check_accepts_what_the_schema_accepts(chosen: tuple[str, str], value: object) -> None:
    name, option = chosen
    # JSON has neither NaN nor infinity, and a schema no word against them.
    finite = not isinstance(value, float) or isfinite(value)
    assert accepted(name, option, value) == (finite and Draft202012Validator(SCHEMAS[name]).is_valid({option: value}))


REFUSED: Mapping[str, tuple[Any, str, str]] = {
    "unknown": ("magic", "/method/name", "no method 'magic'"),
    "empty": ("", "/method/name", "no method"),
    "long": ("m" * 10_000, "/method/name", "no method"),
    "no-name": ({"depth": "stack"}, "/method/name", "no method 'None'"),
    "name-is-a-number": ({"name": 3}, "/method/name", "no method '3'"),
    "name-is-a-list": ({"name": ["pad"]}, "/method/name", "no method"),
    "unknown-option": ({"name": "pad", "noise": 1}, "/method/noise", "no option 'noise'"),
    "option-of-another": ({"name": "hypercloning", "noise": 3}, "/method/noise", "no option 'noise'"),
    "depth-of-random": ({"name": "random", "depth": "stack"}, "/method/depth", "no option 'depth'"),
    "width-of-random": ({"name": "random", "width": "pad"}, "/method/width", "no option 'width'"),
    "random-as-depth": ({"name": "pad", "depth": "random"}, "/method/depth", "'random' is no depth method"),
    "long-option": ({"name": "pad", "o" * 5_000: 1}, "/method/" + "o" * 80, "no option"),
    "text-for-a-number": ({"name": "pad", "scale": "1"}, "/method/scale", "must be a number"),
    "bool-for-a-number": ({"name": "pad", "scale": True}, "/method/scale", "must be a number"),
    "bool-for-a-whole-number": ({"name": "ligo", "steps": True}, "/method/steps", "must be a whole number"),
    "float-for-a-whole-number": ({"name": "ligo", "steps": 1.5}, "/method/steps", "must be a whole number"),
    "nan": ({"name": "lemon", "noise": float("nan")}, "/method/noise", "must be a number"),
    "infinity": ({"name": "lemon", "noise": float("inf")}, "/method/noise", "must be a number"),
    "too-small": ({"name": "lemon", "noise": -1}, "/method/noise", "at least 0"),
    "too-large": ({"name": "lemon", "noise": 101}, "/method/noise", "at most 100"),
    "zero-steps": ({"name": "ligo", "steps": 0}, "/method/steps", "at least 1"),
    "not-one-of": ({"name": "ligo", "decay": "step"}, "/method/decay", "'linear' or 'cosine' or 'none'"),
    "not-a-split": ({"name": "net2net", "split": "odd"}, "/method/split", "'even' or 'unequal'"),
    "null-split": ({"name": "lemon", "split": None}, "/method/split", "'even' or 'unequal'"),
    "quiet-noise": ({"name": "bert2bert", "snr_db": 201}, "/method/snr_db", "at most 200"),
    "null-depth": ({"name": "lemon", "depth": None}, "/method/depth", "must be a method's name"),
    "number-depth": ({"name": "lemon", "depth": 2}, "/method/depth", "must be a method's name"),
    "list-init": ({"name": "ligo", "init": ["pad"]}, "/method/init", "must be a method's name"),
    "unknown-depth": ({"name": "lemon", "depth": "lunar"}, "/method/depth/name", "no method 'lunar'"),
    "width-as-depth": ({"name": "lemon", "depth": "pad"}, "/method/depth", "'pad' is no depth method"),
    "depth-as-width": ({"name": "stack", "width": "identity"}, "/method/width", "'identity' is no width method"),
    "random-as-width": ({"name": "stack", "width": "random"}, "/method/width", "'random' is no width method"),
    "fit-as-width": ({"name": "stack", "width": "ligo"}, "/method/width", "'ligo' is no width method"),
    "option-inside": ({"name": "stack", "width": {"name": "pad", "x": 1}}, "/method/width/x", "no option 'x'"),
    "bounds-inside": (
        {"name": "ligo", "init": {"name": "pad", "depth": "stack", "scale": -1}},
        "/method/init/scale",
        "at least 0",
    ),
    "far-inside": (
        {"name": "ligo", "init": {"name": "pad", "depth": {"name": "lemon"}}},
        "/method/init/depth",
        "'lemon' is no depth method",
    ),
    "idle-depth": ({"name": "stack", "width": {"name": "pad", "depth": "stack"}}, "/method/width/depth", "no effect"),
    "idle-width": ({"name": "pad", "depth": {"name": "stack", "width": "pad"}}, "/method/depth/width", "no effect"),
}


@pytest.mark.parametrize(("method", "field", "said"), REFUSED.values(), ids=REFUSED)
def test_refusals_point_at_the_option(method: Nested, field: str, said: str) -> None:
    with pytest.raises(InvalidMethod, match=said) as refused:
        parse_method(method)
    assert refused.value.field == field
    assert len(str(refused.value)) < 250


def test_a_pointer_starts_where_the_method_stands() -> None:
    with pytest.raises(InvalidMethod) as refused:
        parse_method({"name": "lemon", "noise": -1}, "/methods/3")
    assert refused.value.field == "/methods/3/noise"


@pytest.mark.parametrize("bound", [{"name": "lemon", "noise": 0}, {"name": "pad", "scale": 100}], ids=str)
def test_bounds_belong_to_the_range(bound: dict[str, Any]) -> None:
    parse_method(bound)


def test_whole_numbers_are_numbers() -> None:
    noise = parse_method({"name": "lemon", "noise": 2}).described()["noise"]
    assert (noise, type(noise)) == (2.0, float)
