"""What the shell completes from the service: ids of jobs and names of methods; nothing where none answers."""

from collections.abc import Callable
from itertools import islice

import typer

from client.errors import GrowError
from client.sdk import GrowClient
from jobs.schema import Job
from jobs.tuning import AnyJob

PATIENCE_SECONDS = 2.0
NEWEST = 50
Completions = list[tuple[str, str]]
Completion = Callable[[typer.Context, str], Completions]


def job_ids(context: typer.Context, incomplete: str) -> Completions:
    """Ids of the newest jobs, each with what tells it from the others."""
    try:
        with _client(context) as client:
            newest = list(islice(client.jobs(), NEWEST))
    except GrowError:
        return []
    return [(job.id, _described(job)) for job in newest if job.id.startswith(incomplete)]


def method_names(context: typer.Context, incomplete: str) -> Completions:
    """Names of methods, each with what it does."""
    try:
        with _client(context) as client:
            methods = client.methods()
    except GrowError:
        return []
    return [(method.name, method.summary) for method in methods if method.name.startswith(incomplete)]


def _client(context: typer.Context) -> GrowClient:
    given = context.params
    return GrowClient(given["url"], given["api_key"], timeout_seconds=PATIENCE_SECONDS, retries=0)


def _described(job: AnyJob) -> str:
    return f"{job.status} {job.request.output}" if isinstance(job, Job) else f"{job.status} {job.kind}"
