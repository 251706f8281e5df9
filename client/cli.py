"""The `grow` command: what it takes, what it prints and how it exits."""

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from importlib.metadata import version as installed_version
from itertools import islice
from pathlib import Path
from typing import Annotated, TypeVar

import typer
from pydantic import BaseModel
from rich.console import Console, RenderableType

from client import exits, plugins, show
from client.calls import JobFilter
from client.errors import GrowError
from client.follow import Follower
from client.local_service import Options, Ready
from client.options import Service, flattened
from client.request_flags import RequestFlags, read_body
from client.sdk import GrowClient
from client.search_flags import SearchFlags
from client.state import DEFAULT as DEFAULT_STATE_DIR
from client.up import up as run_local_service
from client.watching import Watch
from client.watching_search import SearchWatch
from jobs.schema import Status
from jobs.tuning import AnyJob, TuneJob

app = typer.Typer(
    help="Grow a small pretrained transformer checkpoint into a larger one.",
    epilog=exits.HELP,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)

JobId = Annotated[str, typer.Argument(metavar="JOB", help="Id of the job.")]
RequestFile = Annotated[
    Path | None,
    typer.Argument(metavar="REQUEST", help="A file with the body of `POST /grow`; - reads the standard input."),
]
Timeout = Annotated[float | None, typer.Option(help="Stop waiting after so many seconds; the job goes on.")]


@app.command(epilog=exits.HELP)
@flattened
def up(
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65_535, help="Port to listen on; 0 takes any free one.")] = 8765,
    state_dir: Annotated[
        Path, typer.Option(envvar="GROW_STATE_DIR", help="Folder for jobs, fits' checkpoints and logs.")
    ] = DEFAULT_STATE_DIR,
    workers: Annotated[int, typer.Option(min=1, max=64, help="Jobs that run at the same time.")] = 1,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Show the logs of every process.")] = False,
    ready_file: Annotated[
        Path | None, typer.Option(help="Write the address and the process ids there, as JSON, once all is ready.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the address and the process ids as JSON.")] = False,
) -> None:
    """Run the whole service on this machine: job store, worker and API, until Ctrl-C."""
    console = Console(stderr=True)
    follower = Follower(console)

    def on_ready(ready: Ready) -> None:
        if ready_file is not None:
            _write_at_once(ready_file, ready.as_json())
        if as_json:
            typer.echo(ready.as_json())
        else:
            console.print(show.ready(ready))

    with _told_errors(as_json):
        run_local_service(Options(host, port, state_dir, workers), on_ready, follower.show_new if verbose else _nothing)


@app.command(epilog=exits.HELP)
@flattened
def plan(flags: RequestFlags, service: Service, request: RequestFile = None) -> None:
    """Tell what a request would do, without doing it."""
    with _told_errors(service.as_json), service.client() as client:
        found = client.plan(flags.laid_over(read_body(request)))
        _print(found, service, show.plan)


@app.command(epilog=exits.HELP)
@flattened
def submit(
    flags: RequestFlags,
    service: Service,
    request: RequestFile = None,
    wait: Annotated[bool, typer.Option("--wait", help="Wait for the job, and exit as it ends.")] = False,
    timeout: Timeout = None,
    idempotency_key: Annotated[
        str | None, typer.Option(help="The same key with the same request gives the same job, not a second one.")
    ] = None,
) -> None:
    """Submit a request: a file, flags, or a file with flags laid over it."""
    with _told_errors(service.as_json), service.client() as client:
        job = client.submit(flags.laid_over(read_body(request)), idempotency_key)
        if not wait:
            _print(job, service, show.job)
            return
        if not service.as_json:
            Console(stderr=True).print(f"Submitted {job.id}.", highlight=False)
        _end(client.wait(job.id, timeout), service)


@app.command(epilog=exits.HELP)
@flattened
def tune(
    flags: SearchFlags,
    service: Service,
    request: Annotated[
        Path | None,
        typer.Argument(metavar="REQUEST", help="A file with the body of `POST /tune`; - reads the standard input."),
    ] = None,
    wait: Annotated[
        bool, typer.Option("--wait", help="Show the trials until the search ends, and exit as it does.")
    ] = (False),
    idempotency_key: Annotated[
        str | None, typer.Option(help="The same key with the same request gives the same search, not a second one.")
    ] = None,
) -> None:
    """Search hyper-parameters on a small proxy, and carry them over to a large target by muTransfer."""
    with _told_errors(service.as_json), service.client() as client:
        job = client.tune(flags.laid_over(read_body(request, "the body of `POST /tune`")), idempotency_key)
        if not wait:
            _print(job, service, show.job)
            return
        if not service.as_json:
            Console(stderr=True).print(f"Submitted {job.id}.", highlight=False)
            _show_live(client, job)
        _end(client.wait(job.id), service)


@app.command(epilog=exits.HELP)
@flattened
def watch(job_id: JobId, service: Service) -> None:
    """Show a job live until it ends, and exit as it ended; Ctrl-C leaves the job running."""
    with _told_errors(service.as_json), service.client() as client:
        if service.as_json:
            for event in client.events(job_id):
                typer.echo(json.dumps({"event": event.model_dump(mode="json")}))
            job = client.job(job_id)
            typer.echo(json.dumps({"job": job.model_dump(mode="json")}))
            raise typer.Exit(exits.of_job(job))
        _show_live(client, client.job(job_id))
        _end(client.job(job_id), service)


@app.command(epilog=exits.HELP)
@flattened
def status(job_id: JobId, service: Service) -> None:
    """Show a job as it is now."""
    with _told_errors(service.as_json), service.client() as client:
        _print(client.job(job_id), service, show.job)


@app.command(epilog=exits.HELP)
@flattened
def wait(job_id: JobId, service: Service, timeout: Timeout = None) -> None:
    """Wait until a job ends, and exit as it ended."""
    with _told_errors(service.as_json), service.client() as client:
        _end(client.wait(job_id, timeout), service)


@app.command(epilog=exits.HELP)
@flattened
def cancel(job_id: JobId, service: Service) -> None:
    """End a queued job, ask a running one to stop."""
    with _told_errors(service.as_json), service.client() as client:
        _print(client.cancel(job_id), service, show.job)


@app.command(epilog=exits.HELP)
@flattened
def retry(job_id: JobId, service: Service) -> None:
    """Try a failed or cancelled job again, as a new job."""
    with _told_errors(service.as_json), service.client() as client:
        _print(client.retry(job_id), service, show.job)


@app.command(epilog=exits.HELP)
@flattened
def webhook(job_id: JobId, service: Service) -> None:
    """Send the webhook of an ended job once more."""
    with _told_errors(service.as_json), service.client() as client:
        _print(client.send_webhook(job_id), service, show.job)


@app.command(epilog=exits.HELP)
@flattened
def secret(
    service: Service,
    change: Annotated[
        bool, typer.Option("--change", help="Make another one; that of before signs too for a day.")
    ] = False,
) -> None:
    """Print the secret that webhooks are signed with."""
    with _told_errors(service.as_json), service.client() as client:
        found = client.webhook_secret(change=change)
        typer.echo(json.dumps({"secret": found}) if service.as_json else found)


@app.command("list", epilog=exits.HELP)
@flattened
def list_jobs(
    service: Service,
    status: Annotated[Status | None, typer.Option(help="Only jobs of this status.")] = None,
    method: Annotated[str | None, typer.Option(help="Only jobs of this method.")] = None,
    label: Annotated[str | None, typer.Option(metavar="KEY=VALUE", help="Only jobs with this label.")] = None,
    owner: Annotated[str | None, typer.Option(help="Jobs of another owner, with a key that may.")] = None,
    limit: Annotated[int, typer.Option(min=1, help="The newest so many.")] = 50,
) -> None:
    """List jobs, newest first."""
    with _told_errors(service.as_json), service.client() as client:
        found = client.jobs(JobFilter(status, method, _label(label), owner=owner), page_size=min(limit, 200))
        _print_all(list(islice(found, limit)), service, show.jobs)


@app.command(epilog=exits.HELP)
@flattened
def methods(service: Service) -> None:
    """List the growth methods and their options."""
    with _told_errors(service.as_json), service.client() as client:
        _print_all(client.methods(), service, show.methods)


@app.command(epilog=exits.HELP)
@flattened
def architectures(service: Service) -> None:
    """List the families of models that can be grown."""
    with _told_errors(service.as_json), service.client() as client:
        _print_all(client.architectures(), service, show.architectures)


@app.command()
def version(as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False) -> None:
    """Print the version of this command."""
    found = installed_version("model-growth")
    typer.echo(json.dumps({"version": found}) if as_json else found)


plugins.add_to(app)


def main() -> None:
    """The entry point of the `grow` command."""
    app()


@contextmanager
def _told_errors(as_json: bool) -> Iterator[None]:
    """Turns an error into one sentence, a hint and an exit code."""
    try:
        yield
    except GrowError as error:
        if as_json:
            typer.echo(json.dumps(error.as_dict()), err=True)
        else:
            show.error(Console(stderr=True), error)
        raise typer.Exit(exits.of_error(error)) from None


def _show_live(client: GrowClient, job: AnyJob) -> None:
    console = Console()
    search = SearchWatch(console, lambda: client.job(job.id)) if isinstance(job, TuneJob) else None
    with search or Watch(console) as shown:
        for event in client.events(job.id):
            shown.take(event)


def _end(job: AnyJob, service: Service) -> None:
    _print(job, service, show.job)
    raise typer.Exit(exits.of_job(job))


Shown = TypeVar("Shown", bound=BaseModel)


def _print(found: Shown, service: Service, shown: Callable[[Shown], RenderableType]) -> None:
    if service.as_json:
        typer.echo(found.model_dump_json())
    else:
        Console().print(shown(found))


def _print_all(found: Sequence[Shown], service: Service, shown: Callable[[Sequence[Shown]], RenderableType]) -> None:
    if service.as_json:
        for one in found:
            typer.echo(one.model_dump_json())
    else:
        Console().print(shown(found))


def _label(text: str | None) -> tuple[str, str] | None:
    if text is None:
        return None
    key, equals, value = text.partition("=")
    if not (key and equals):
        raise typer.BadParameter(f"--label takes key=value, and got {text!r}.")
    return key, value


def _write_at_once(path: Path, text: str) -> None:
    """Never half-written to whoever waits for the file."""
    unfinished = path.with_name(f"{path.name}.unfinished")
    unfinished.write_text(text)
    unfinished.replace(path)


def _nothing(_: object) -> None:
    pass
