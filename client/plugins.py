"""Commands that other packages add to `grow`: entry points of the group `grow.commands`, loaded when they are called.

An entry point is a function whose annotated parameters are the command's arguments and options, as typer has them; or
a `typer.Typer` with commands of its own.
"""

from collections.abc import Callable
from importlib.metadata import EntryPoint, entry_points

import typer
from rich.console import Console

from client import show
from client.errors import GrowError
from client.exits import Exit

GROUP = "grow.commands"
SUMMARIES = {
    "run": "Run a job in this process, without a service.",
    "coord-check": "Check that activations are as large at every width under muP.",
    "rebuild": "Put jobs on record again from their outputs, after a loss of Redis.",
    "keys": "Make, list and revoke API keys, as the operator of a service.",
}
EVERYTHING_THROUGH = {"allow_extra_args": True, "ignore_unknown_options": True, "help_option_names": []}


def add_to(app: typer.Typer) -> None:
    """Adds every command that an installed package offers; none is imported for it."""
    for entry in entry_points(group=GROUP):
        summary = SUMMARIES.get(entry.name, f"Added by {entry.module}.")
        app.command(entry.name, help=summary, context_settings=EVERYTHING_THROUGH)(_forward_to(entry))


def _forward_to(entry: EntryPoint) -> Callable[[typer.Context], None]:
    def forward(context: typer.Context) -> None:
        try:
            command = entry.load()
        except ModuleNotFoundError as error:
            missing = f"`grow {entry.name}` needs {error.name}, which is not installed."
            show.error(Console(stderr=True), GrowError(missing, "Run `pip install 'model-growth[local]'`."))
            raise typer.Exit(Exit.BAD_REQUEST) from None
        if not isinstance(command, typer.Typer):
            single = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
            single.command()(command)
            command = single
        command(context.args, prog_name=f"grow {entry.name}")

    return forward
