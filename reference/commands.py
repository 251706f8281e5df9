"""The `grow` command as a page: every command with its arguments and options, as `--help` tells them."""

from importlib.metadata import entry_points

import typer
from typer.cli import get_docs_for_click

from client.cli import app
from client.plugins import GROUP, command_of

INTRODUCTION = """# Command reference

The `grow` command, made of the code of its own `--help`. Shell completion: `grow --install-completion` sets it up for
the shell that it is run in, `grow --show-completion` prints it.
"""


def cli_page() -> str:
    """The page as Markdown."""
    added = {entry.name: command_of(entry.load()) for entry in entry_points(group=GROUP)}
    told = [_told(app, "grow", hidden=set(added))]
    told += [_told(command, f"grow {name}", hidden=set()) for name, command in sorted(added.items())]
    return "\n".join([INTRODUCTION, *told])


def _told(command: typer.Typer, name: str, hidden: set[str]) -> str:
    found = typer.main.get_command(command)
    for entry in hidden:
        # Told below with their own options, which the command of that name only passes on.
        found.commands.pop(entry)  # type: ignore[attr-defined]
    return get_docs_for_click(obj=found, ctx=typer.Context(found), name=name, indent=1)
