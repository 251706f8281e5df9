"""docs/errors.md lists every code in the sources, and no other, under the status that it has."""

import ast
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TypeVar

import pytest

from growth.errors import ImpossibleTarget
from growth.operators import parse_method
from growth.plan import make_plan
from growth.source import read_source
from service.errors import StorageRefused, StorageSilent
from service.problems import EDGES, to_problem
from storage import Storage, StorageError, Uri
from storage.folder import Folder
from tests.docs.pages import ROOT, blocks, sections

PACKAGES = ("growth", "jobs", "storage", "service", "worker")
ROWS = [row for section in sections("docs/errors.md") for row in section.rows()]
# Where a call's positional argument is a code.
CODE_ARGUMENT = {"Edge": 1, "make_problem": 1, "_failed": 0}
# Of bases alone, whose codes nobody sees.
NEVER_RAISED = {"refused", "worker_error"}
Kind = TypeVar("Kind", bound=Exception)


def _trees() -> Iterator[ast.Module]:
    for package in PACKAGES:
        for file in (ROOT / package).rglob("*.py"):
            yield ast.parse(file.read_text())


def _codes(node: ast.AST) -> Iterator[ast.expr]:
    """The expressions that stand for a code, in one node."""
    match node:
        case ast.Assign(targets=[ast.Name(id="code" | "INTERNAL_ERROR")], value=value):
            yield value
        case ast.Assign(targets=[ast.Name(id="_HTTP_CODES")], value=ast.Dict(values=values)):
            yield from values
        case ast.Call(func=ast.Name(id=name), args=arguments, keywords=keywords):
            place = CODE_ARGUMENT.get(name, len(arguments))
            yield from arguments[place : place + 1]
            yield from (keyword.value for keyword in keywords if keyword.arg == "code")
        case ast.Call(func=ast.Attribute(value=ast.Name(id="_HTTP_CODES")), args=[_, default]):
            yield default


def _in_the_sources() -> set[str]:
    found = (code for tree in _trees() for node in ast.walk(tree) for code in _codes(node))
    return {code.value for code in found if isinstance(code, ast.Constant) and isinstance(code.value, str)}


def _below(kind: type[Kind]) -> Iterator[type[Kind]]:
    yield kind
    for further in kind.__subclasses__():
        yield from _below(further)


def _statuses() -> Mapping[str, int]:
    """The status of each code that an exception of ours is answered with."""
    statuses = {
        edge.code or str(getattr(one, "code", "")): edge.status
        for kind, edge in EDGES.items()
        if not issubclass(kind, StorageRefused)
        for one in _below(kind)
    }
    for failed in _below(StorageError):
        statuses[failed.code] = EDGES[StorageSilent if failed.transient else StorageRefused].status
    return statuses


def test_every_code_is_listed_once() -> None:
    listed = [code for code, *_ in ROWS]
    assert len(listed) == len(set(listed))
    assert set(listed) == _in_the_sources() - NEVER_RAISED


@pytest.mark.parametrize(("code", "status"), _statuses().items())
def test_statuses_are_those_of_the_service(code: str, status: int) -> None:
    (told,) = [told for listed, told, *_ in ROWS if listed == code]
    assert told == str(status)


def test_the_example_is_what_the_service_says(models: Path) -> None:
    source = read_source(Folder(Storage(), Uri.parse(f"file://{models}/small")))
    with pytest.raises(ImpossibleTarget) as refused:
        make_plan(source.config, source.tensors, {"hidden_size": 384}, parse_method("hypercloning"))
    (example,) = blocks("docs/errors.md", "json")
    assert to_problem(refused.value).model_dump(exclude_none=True) == json.loads(example)
