"""The `grow` command: what it takes, what it prints and how it exits."""

import json
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from importlib.metadata import version as installed_version
from itertools import islice
from pathlib import Path
from typing import Annotated, Any, TypeVar

import typer
from pydantic import BaseModel
from rich.console import Console, RenderableType
from rich.text import Text

from client import exits, plugins, show
from client.calls import JobFilter
from client.completion import job_ids, method_names
from client.doctor import findings
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
    context_settings={"help_option_names": ["--help", "-h"]},
)
UNFOLDED_WIDTH = 10_000
JOBS, SERVICE = "Jobs", "The service"
"""Which commands stand together in `grow --help`; `client.plugins` has those of other packages."""

JobId = Annotated[str, typer.Argument(metavar="JOB", help="Id of the job.", autocompletion=job_ids)]
RequestFile = Annotated[
    Path | None,
    typer.Argument(metavar="REQUEST", help="A file with the body of `POST /grow`; - reads the standard input."),
]
Timeout = Annotated[
    float | None, typer.Option(min=0, metavar="SECONDS", help="Stop waiting after so many; the job goes on.")
]


def _show_version(asked: bool) -> None:
    if asked:
        typer.echo(installed_version("model-growth"))
        raise typer.Exit


@app.callback()
def root(
    _version: Annotated[
        bool, typer.Option("--version", help="Show the version and exit.", is_eager=True, callback=_show_version)
    ] = False,
) -> None:
    """Grow a small pretrained transformer checkpoint into a larger one."""


@app.command(epilog=exits.HELP, rich_help_panel=SERVICE)
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


@app.command(epilog=exits.HELP, rich_help_panel=JOBS)
@flattened
def plan(flags: RequestFlags, service: Service, request: RequestFile = None) -> None:
    """Tell what a request would do, without doing it."""
    with _told_errors(service.as_json), service.client() as client:
        found = client.plan(_asked(flags.laid_over(read_body(request))))
        _print(found, service, show.plan)


@app.command(epilog=exits.HELP, rich_help_panel=JOBS)
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
        job = client.submit(_asked(flags.laid_over(read_body(request))), idempotency_key)
        if not wait:
            _print(job, service, show.job)
            return
        if not service.as_json:
            _note(f"Submitted {job.id}.")
            if timeout is None:
                _show_live(client, job)
        _end(client.wait(job.id, timeout), service)


@app.command(epilog=exits.HELP, rich_help_panel=JOBS)
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
        job = client.tune(_asked(flags.laid_over(read_body(request, "the body of `POST /tune`"))), idempotency_key)
        if not wait:
            _print(job, service, show.job)
            return
        if not service.as_json:
            _note(f"Submitted {job.id}.")
            _show_live(client, job)
        _end(client.wait(job.id), service)


@app.command(epilog=exits.HELP, rich_help_panel=JOBS)
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


@app.command(epilog=exits.HELP, rich_help_panel=JOBS)
@flattened
def status(job_id: JobId, service: Service) -> None:
    """Show a job as it is now."""
    with _told_errors(service.as_json), service.client() as client:
        _print(client.job(job_id), service, show.job)


@app.command(epilog=exits.HELP, rich_help_panel=JOBS)
@flattened
def wait(job_id: JobId, service: Service, timeout: Timeout = None) -> None:
    """Wait until a job ends, and exit as it ended."""
    with _told_errors(service.as_json), service.client() as client:
        _end(client.wait(job_id, timeout), service)


@app.command(epilog=exits.HELP, rich_help_panel=JOBS)
@flattened
def cancel(job_id: JobId, service: Service) -> None:
    """End a queued job, ask a running one to stop."""
    with _told_errors(service.as_json), service.client() as client:
        job = client.cancel(job_id)
        if job.status.terminal and job.status is not Status.CANCELLED and not service.as_json:
            _note(f"{job.id} had {job.status} already; there was nothing to cancel.")
        _print(job, service, show.job)


@app.command(epilog=exits.HELP, rich_help_panel=JOBS)
@flattened
def retry(job_id: JobId, service: Service) -> None:
    """Try a failed or cancelled job again, as a new job."""
    with _told_errors(service.as_json), service.client() as client:
        _print(client.retry(job_id), service, show.job)


@app.command(epilog=exits.HELP, rich_help_panel=SERVICE)
@flattened
def webhook(job_id: JobId, service: Service) -> None:
    """Send the webhook of an ended job once more."""
    with _told_errors(service.as_json), service.client() as client:
        _print(client.send_webhook(job_id), service, show.job)


@app.command(epilog=exits.HELP, rich_help_panel=SERVICE)
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


@app.command("list", epilog=exits.HELP, rich_help_panel=JOBS)
@flattened
def list_jobs(
    service: Service,
    status: Annotated[Status | None, typer.Option(help="Only jobs of this status.")] = None,
    method: Annotated[str | None, typer.Option(help="Only jobs of this method.", autocompletion=method_names)] = None,
    label: Annotated[str | None, typer.Option(metavar="KEY=VALUE", help="Only jobs with this label.")] = None,
    owner: Annotated[str | None, typer.Option(help="Jobs of another owner, with a key that may.")] = None,
    limit: Annotated[int, typer.Option(min=1, help="The newest so many.")] = 50,
) -> None:
    """List jobs, newest first."""
    with _told_errors(service.as_json), service.client() as client:
        found = client.jobs(JobFilter(status, method, _label(label), owner=owner), page_size=min(limit, 200))
        listed = list(islice(found, limit))
        if not listed and not service.as_json:
            _note("No jobs found.")
            return
        _print_all(listed, service, show.jobs)


@app.command(epilog=exits.HELP, rich_help_panel=SERVICE)
@flattened
def methods(service: Service) -> None:
    """List the growth methods and their options."""
    with _told_errors(service.as_json), service.client() as client:
        _print_all(client.methods(), service, show.methods)


@app.command(epilog=exits.HELP, rich_help_panel=SERVICE)
@flattened
def architectures(service: Service) -> None:
    """List the families of models that can be grown."""
    with _told_errors(service.as_json), service.client() as client:
        _print_all(client.architectures(), service, show.architectures)


@app.command(epilog=exits.HELP, rich_help_panel=SERVICE)
@flattened
def doctor(service: Service, request: RequestFile = None) -> None:
    """Look whether all is well: the service, the key, versions, torch, and with a request its places in storage."""
    with _told_errors(service.as_json):
        failed = None
        with service.client() as client:
            for found in findings(client, read_body(request)):
                typer.echo(json.dumps(found.as_dict())) if service.as_json else _print_text(show.finding(found))
                if found.state == "failed" and failed is None:
                    failed = exits.of_error(found.error) if found.error else exits.Exit.FAILED
        raise typer.Exit(failed or exits.Exit.SUCCEEDED)


@app.command(rich_help_panel=SERVICE)
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
        _print_text(shown(found))


def _print_all(found: Sequence[Shown], service: Service, shown: Callable[[Sequence[Shown]], RenderableType]) -> None:
    if service.as_json:
        for one in found:
            typer.echo(one.model_dump_json())
    else:
        _print_text(shown(found))


def _print_text(text: RenderableType) -> None:
    # What another program reads keeps one line for each row, as long as that may be.
    console = Console(width=None if sys.stdout.isatty() else UNFOLDED_WIDTH)
    console.print(text, soft_wrap=isinstance(text, Text))


def _note(sentence: str) -> None:
    """For a person, beside the answer."""
    Console(stderr=True).print(sentence, highlight=False, soft_wrap=True)


def _asked(body: dict[str, Any]) -> dict[str, Any]:
    if not body:
        raise typer.BadParameter("Name a request: a file, - for the standard input, or flags; --help lists them.")
    return body


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
