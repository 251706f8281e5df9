"""What the README says of commands, methods, folders and files is what there is."""

import re
from pathlib import Path

import pytest
import typer

from client.cli import app
from growth.errors import ImpossibleTarget
from growth.operators import METHODS, parse_method
from growth.plan import make_plan
from growth.source import read_source
from storage import Storage, Uri
from storage.folder import Folder
from tests.docs.pages import ROOT, Section, page, sections
from worker.output import Output

WIDER, DEEPER = {"hidden_size": 512}, {"num_hidden_layers": 8}


def _section(heading: str) -> Section:
    (found,) = [section for section in sections("README.md") if section.heading == heading]
    return found


def test_make_targets_exist() -> None:
    makefile = page("Makefile")
    named = set(re.findall(r"^make (\w+)", page("README.md"), re.MULTILINE))
    assert {"demo", "test"} <= named
    assert all(re.search(rf"^{target}:", makefile, re.MULTILINE) for target in named)


def test_every_command_is_listed() -> None:
    listed = {name for what, *_ in _section("Use it").rows() for name in re.findall(r"`grow ([\w-]+)`", f"`{what}`")}
    command = typer.main.get_command(app)
    assert listed == set(command.commands) - {"version"}  # type: ignore[attr-defined]


def test_every_method_is_listed() -> None:
    assert {row[0] for row in _section("Methods").rows()} == set(METHODS)


@pytest.mark.parametrize(("name", "preserves"), [(row[0], row[2]) for row in _section("Methods").rows()])
def test_methods_preserve_the_function_where_they_say_so(models: Path, name: str, preserves: str) -> None:
    source = read_source(Folder(Storage(), Uri.parse(f"file://{models}/small")))

    def preserving(target: dict[str, int]) -> bool:
        return make_plan(source.config, source.tensors, target, parse_method(name)).function_preserving

    assert preserving(DEEPER) == (preserves == "yes")
    try:
        assert preserving(WIDER) == (preserves == "yes")
    except ImpossibleTarget:
        assert name in ("stack", "interpolate", "solar", "identity")


def test_files_are_named_as_they_are() -> None:
    output = Output(Storage(), Uri.parse("s3://models/large"), "<job>")
    listing = page("README.md").replace("<attempt>", "1")
    assert output.shard_name(1, 0, 2) in listing
    assert output.operator_name(1) in listing
    assert output.picture_name(1) in listing


def test_every_folder_is_listed() -> None:
    listed = {name for row in _section("Folders").rows() for name in re.findall(r"(\w+)/", row[0])}
    packages = {path.parent.name for path in ROOT.glob("*/__init__.py")} - {"demo", "benchmarks"}
    assert packages <= listed
    assert all((ROOT / name).is_dir() for name in listed)
