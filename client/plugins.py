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
ADDED = "Added commands"
PANELS = {
    "run": "On this machine",
    "coord-check": "On this machine",
    "rebuild": "For operators",
    "keys": "For operators",
}
EVERYTHING_THROUGH = {"allow_extra_args": True, "ignore_unknown_options": True, "help_option_names": []}


def add_to(app: typer.Typer) -> None:
    """Adds every command that an installed package offers; none is imported for it."""
    for entry in entry_points(group=GROUP):
        summary = SUMMARIES.get(entry.name, f"Added by {entry.module}.")
        panel = PANELS.get(entry.name, ADDED)
        forward = app.command(entry.name, help=summary, rich_help_panel=panel, context_settings=EVERYTHING_THROUGH)
        forward(_forward_to(entry))


def _forward_to(entry: EntryPoint) -> Callable[[typer.Context], None]:
    def forward(context: typer.Context) -> None:
        try:
            command = entry.load()
        except ModuleNotFoundError as error:
            missing = f"`grow {entry.name}` needs {error.name}, which is not installed."
            show.error(Console(stderr=True), GrowError(missing, "Run `pip install 'model-growth[local]'`."))
            raise typer.Exit(Exit.BAD_REQUEST) from None
        command_of(command)(context.args, prog_name=f"grow {entry.name}")

    return forward


def command_of(loaded: typer.Typer | Callable[..., None]) -> typer.Typer:
    """What an entry point gave, as an application of its own."""
    if isinstance(loaded, typer.Typer):
        return loaded
    single = typer.Typer(
        add_completion=False,
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["--help", "-h"]},
    )
    single.command()(loaded)
    return single
