"""The site: its navigation lists every page, its made pages tell every call and command, and it builds."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import typer
import yaml

from client.cli import app
from reference.commands import cli_page
from reference.endpoints import api_page
from reference.hooks import MADE, led_on
from tests.docs.pages import ROOT

SECONDS = 200.0


def _listed(entries: Any) -> Iterator[str]:
    if isinstance(entries, str):
        yield entries
    for entry in entries if isinstance(entries, list) else []:
        yield from _listed(entry if isinstance(entry, str) else next(iter(entry.values())))


def test_the_navigation_lists_every_page_once() -> None:
    listed = list(_listed(yaml.safe_load((ROOT / "mkdocs.yml").read_text())["nav"]))
    pages = [str(page.relative_to(ROOT / "docs")) for page in (ROOT / "docs").rglob("*.md")]
    assert sorted(listed) == sorted([*pages, *MADE])


def test_every_call_is_told_with_its_answers() -> None:
    page = api_page(ROOT / "openapi.yaml")
    document = yaml.safe_load((ROOT / "openapi.yaml").read_text())
    paths = document["paths"] | document["webhooks"]
    calls = {f"{method.upper()} {path}": call for path, methods in paths.items() for method, call in methods.items()}
    told = {part.partition("`")[0]: part for part in page.split("### `")[1:]}
    assert told.keys() == calls.keys()
    for name, call in calls.items():
        assert set(re.findall(r"^\| (\d\w+|default) \|", told[name], re.MULTILINE)) == set(call["responses"])
        assert all(f"`{parameter['name']}`" in told[name] for parameter in call.get("parameters", []))


def test_every_command_is_told_with_its_options() -> None:
    page = cli_page()
    told = {part.partition("`")[0]: part for part in re.split(r"^#+ `grow ", page, flags=re.MULTILINE)[1:]}
    command = typer.main.get_command(app)
    assert set(command.commands) <= told.keys()  # type: ignore[attr-defined]
    assert "--wait" in told["submit"]
    assert "*Arguments**" in told["run"]
    assert "--scope" in told["keys create"]
    assert str(Path.home()) not in page


def test_links_that_leave_the_pages_lead_on() -> None:
    assert led_on("[a](methods.md#b)", "") == "[a](methods.md#b)"
    assert led_on("[a](../methods.md)", "decisions") == "[a](../methods.md)"
    assert led_on("[a](docs/methods.md)", "..") == "[a](methods.md)"
    assert led_on("[a](../README.md#use-it)", "") == "[a](index.md#use-it)"
    assert led_on("[the tests](../tests/conftest.py)", "") == "the tests (`tests/conftest.py`)"
    assert led_on("[`examples/`](../examples)", "") == "`examples/`"
    assert led_on("![a](../benchmarks/results/mutransfer.svg)", "") == "![a](benchmarks/results/mutransfer.svg)"
    assert led_on("[a](https://arxiv.org/abs/2303.00980)", "") == "[a](https://arxiv.org/abs/2303.00980)"


def test_it_builds_without_a_warning_and_fetches_nothing(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(tmp_path)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "NO_MKDOCS_2_WARNING": "1"}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=SECONDS)
    assert (done.returncode, done.stdout + done.stderr) == (0, "")
    pages = [page.read_text() for page in tmp_path.rglob("*.html")]
    assert len(pages) > 20
    assert not [
        found for page in pages for found in re.findall(r'(?:src|rel="stylesheet" href)="https?://[^"]*"', page)
    ]
