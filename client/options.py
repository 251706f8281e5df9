"""Options that several commands share, as dataclasses: a command takes the group, the terminal sees its fields."""

import functools
import inspect
from collections.abc import Callable
from dataclasses import MISSING, dataclass, fields, is_dataclass
from typing import Annotated, Any, get_type_hints

import typer

from client.connection import DEFAULT_URL
from client.sdk import GrowClient


@dataclass(frozen=True)
class Service:
    """Where the service is, and how to print."""

    url: Annotated[str, typer.Option(envvar="GROW_URL", help="Address of the service.")] = DEFAULT_URL
    api_key: Annotated[
        str | None, typer.Option(envvar="GROW_API_KEY", help="API key, where the service asks for one.")
    ] = None
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON, one object a line, and nothing else.")] = False

    def client(self) -> GrowClient:
        return GrowClient(self.url, self.api_key)


def flattened(command: Callable[..., None]) -> Callable[..., None]:
    """The command with every parameter whose type is a dataclass replaced by that dataclass' fields, as options."""
    hints = get_type_hints(command, include_extras=True)
    groups = {name: kind for name, kind in hints.items() if isinstance(kind, type) and is_dataclass(kind)}

    @functools.wraps(command)
    def run(**values: Any) -> None:
        made = {
            name: kind(**{field.name: values.pop(field.name) for field in fields(kind)})
            for name, kind in groups.items()
        }
        command(**values, **made)

    own = [p for p in inspect.signature(command).parameters.values() if p.name not in groups]
    parameters = [*own, *(option for kind in groups.values() for option in _options(kind))]
    run.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    return run


def _options(group: type[Any]) -> list[inspect.Parameter]:
    hints = get_type_hints(group, include_extras=True)
    return [
        inspect.Parameter(
            field.name,
            inspect.Parameter.KEYWORD_ONLY,
            default=inspect.Parameter.empty if field.default is MISSING else field.default,
            annotation=hints[field.name],
        )
        for field in fields(group)
    ]
