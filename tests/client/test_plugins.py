"""Commands of other packages: called with their own arguments, and a sentence where something is missing."""

from importlib.metadata import EntryPoint
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from client import plugins
from client.cli import app

ENVIRONMENT = {"COLUMNS": "200"}


def test_run_is_forwarded_with_its_arguments(tmp_path: Path) -> None:
    shown = CliRunner(env=ENVIRONMENT).invoke(app, ["run", "--help"])
    assert shown.exit_code == 0
    assert "Usage: grow run [OPTIONS]" in shown.stdout
    refused = CliRunner(env=ENVIRONMENT).invoke(app, ["run", str(tmp_path / "none.json")])
    assert refused.exit_code == 2
    assert "Traceback" not in refused.output


def test_missing_package_tells_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    entry = EntryPoint("fly", "no_such_package.commands:fly", plugins.GROUP)
    monkeypatch.setattr(plugins, "entry_points", lambda group: [entry])
    one_command = typer.Typer()
    one_command.callback()(lambda: None)
    plugins.add_to(one_command)
    shown = CliRunner(env=ENVIRONMENT).invoke(one_command, ["fly", "--high", "now"])
    assert shown.exit_code == 2
    first, hint = shown.stderr.splitlines()
    assert first == "Error: `grow fly` needs no_such_package, which is not installed."
    assert "pip install 'model-growth[local]'" in hint
    assert "Added by no_such_package.commands." in CliRunner(env=ENVIRONMENT).invoke(one_command, ["--help"]).stdout
