"""`grow keys`: the operator makes, lists and revokes API keys, on a machine that reaches the service's Redis."""

import json
import re
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import datetime, timedelta
from typing import Annotated, Any, NoReturn

import typer
from pydantic import ValidationError
from rich.console import Console
from rich.table import Table

from jobs.errors import StoreUnavailable
from jobs.settings import SharedSettings
from jobs.startup import starting
from service.api_keys import READ_AND_WRITE, Prefixes, Quotas, StoredKey
from service.key_store import KeyStore

REFUSED, UNREACHABLE = 2, 5
"""Exit codes, as those of `grow`."""
UNITS = {"m": timedelta(minutes=1), "h": timedelta(hours=1), "d": timedelta(days=1)}

app = typer.Typer(
    help="API keys of a service, in the Redis that GROW_REDIS_URL names.",
    no_args_is_help=True,
    add_completion=False,
    context_settings={"help_option_names": ["--help", "-h"]},
    pretty_exceptions_enable=False,
)

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON, one object a line, and nothing else.")]


def _prefixes(what: str) -> Any:
    return typer.Option(metavar="PREFIX", help=f"{what}, such as s3://models; repeatable.")


@app.command()
def create(
    name: Annotated[str, typer.Argument(help="Owner of the jobs submitted with the key.")],
    source: Annotated[list[str] | None, _prefixes("Where sources and operators may be read")] = None,
    data: Annotated[list[str] | None, _prefixes("Where data may be read")] = None,
    tokenizer: Annotated[list[str] | None, _prefixes("Where tokenizers may be read; else as --source")] = None,
    optimizer: Annotated[list[str] | None, _prefixes("Where optimizer states may be read; else as --source")] = None,
    output: Annotated[list[str] | None, _prefixes("Where checkpoints may be written")] = None,
    scope: Annotated[list[str] | None, typer.Option(help="jobs:read, jobs:write or admin; repeatable.")] = None,
    good_for: Annotated[
        str | None, typer.Option(metavar="TIME", help="How long the key is good, such as 90d, 12h or 30m.")
    ] = None,
    max_queued: Annotated[int | None, typer.Option(help="Most jobs of this owner that wait at a time.")] = None,
    max_running: Annotated[int | None, typer.Option(help="Most jobs of this owner that run at a time.")] = None,
    max_bytes: Annotated[
        int | None, typer.Option(help="Most bytes that queued and running jobs of this owner will write.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Make a key and print it, this once: only its hash is kept."""
    with _told_errors(), _keys() as keys:
        prefixes = Prefixes(
            source=tuple(source or ()),
            data=tuple(data or ()),
            tokenizer=None if tokenizer is None else tuple(tokenizer),
            optimizer=None if optimizer is None else tuple(optimizer),
            output=tuple(output or ()),
        )
        quotas = Quotas(queued=max_queued, running=max_running, bytes=max_bytes)
        scopes: Any = READ_AND_WRITE if scope is None else tuple(scope)
        made, key = keys.create(name, prefixes, scopes, None if good_for is None else _time(good_for), quotas)
        if as_json:
            typer.echo(json.dumps({"key": key, **_shown(made)}))
        else:
            typer.echo(key)
            typer.echo(f"Made {made.id} for {made.name}; send it as `Authorization: Bearer <key>`.", err=True)


@app.command("list")
def list_keys(as_json: AsJson = False) -> None:
    """List the keys, the oldest first."""
    with _told_errors(), _keys() as keys:
        found = list(keys.list())
    if as_json:
        for key in found:
            typer.echo(json.dumps(_shown(key)))
        return
    table = Table("id", "name", "scopes", "prefixes", "created", "good until", box=None, pad_edge=False)
    for key in found:
        given = key.prefixes.model_dump(exclude_none=True).items()
        prefixes = "\n".join(f"{kind}: {', '.join(values)}" for kind, values in given if values)
        table.add_row(key.id, key.name, "\n".join(key.scopes), prefixes, _moment(key.created_at), _good_until(key))
    Console().print(table)


@app.command()
def revoke(
    key_id: Annotated[str, typer.Argument(metavar="KEY", help="Id of the key, such as key-0123456789ab.")],
    as_json: AsJson = False,
) -> None:
    """Refuse a key from now on, in every process of the service within a second."""
    with _told_errors(), _keys() as keys:
        revoked = keys.revoke(key_id)
        if revoked is None:
            raise ValueError(f"There is no key {key_id!r}; `grow keys list` shows those that there are.")
    if as_json:
        typer.echo(json.dumps(_shown(revoked)))
    else:
        typer.echo(f"Revoked {key_id}.", err=True)


@contextmanager
def _keys() -> Iterator[KeyStore]:
    with starting():
        settings = SharedSettings()
    with closing(KeyStore(settings.redis_url)) as keys:
        yield keys


@contextmanager
def _told_errors() -> Iterator[None]:
    try:
        yield
    except ValidationError as error:
        found = error.errors(include_url=False, include_input=False)[0]
        _end(f"{'/'.join(map(str, found['loc']))} can't be used: {found['msg']}.")
    except ValueError as error:
        _end(str(error))
    except StoreUnavailable as error:
        _end(f"{error}\nGROW_REDIS_URL names the Redis of the service, as its own processes have it.", UNREACHABLE)


def _end(told: str, code: int = REFUSED) -> NoReturn:
    typer.echo(f"Error: {told}", err=True)
    raise typer.Exit(code)


def _time(text: str) -> timedelta:
    found = re.fullmatch(r"([1-9][0-9]{0,4})([mhd])", text)
    if found is None:
        raise ValueError(f"{text!r} is no time that a key can be good for; write 30m, 12h or 90d.")
    return int(found[1]) * UNITS[found[2]]


def _shown(key: StoredKey) -> dict[str, Any]:
    return key.model_dump(mode="json", exclude={"key_sha256"})


def _good_until(key: StoredKey) -> str:
    if key.revoked_at is not None:
        return f"revoked {_moment(key.revoked_at)}"
    return "for good" if key.expires_at is None else _moment(key.expires_at)


def _moment(moment: datetime) -> str:
    return moment.astimezone().strftime("%Y-%m-%d %H:%M:%S")


if __name__ == "__main__":
    app(prog_name="grow keys")
