"""How plans, jobs and lists look in a terminal."""

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta

from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from client.connection import DEFAULT_URL
from client.doctor import Finding
from client.errors import GrowError, ProblemError
from client.hints import hint_for
from client.local_service import Ready
from client.show_search import facts_of_search, facts_of_trial, search_view
from jobs.schema import (
    ArchitectureDescription,
    GrowthRequest,
    Job,
    JobState,
    MethodDescription,
    ModelSize,
    Plan,
    Status,
    Untrained,
    Verification,
)
from jobs.tuning import AnyJob, TrialJob, TuneJob

STYLES = {
    Status.QUEUED: "yellow",
    Status.RUNNING: "cyan",
    Status.SUCCEEDED: "green",
    Status.FAILED: "red",
    Status.CANCELLED: "magenta",
}
ID_WIDTH = 29
UNITS = ("B", "kB", "MB", "GB", "TB")


def plan(found: Plan) -> RenderableType:
    preserving = "computes the source's function" if found.function_preserving else "changes the function"
    facts = _facts(
        ("model", f"{found.architecture} ({found.model_type})"),
        ("method", f"{found.method['name']}: {preserving}"),
        ("written", f"{found.tensors} tensors in {_count(found.shards, 'shard')}, {found.dtype}"),
        ("memory", f"about {size(found.peak_memory_bytes)}, largest tensor {size(found.largest_tensor_bytes)}"),
        *(("note", note) for note in found.notes),
    )
    return Group(facts, _sizes(found.source, found.target))


def job(found: AnyJob) -> RenderableType:
    facts: list[tuple[str, str | Text]] = [("job", found.id), ("status", _status(found))]
    match found:
        case Job(request=request):
            facts += [("source", _source(request)), ("output", request.output), ("method", request.method.name)]
        case TuneJob():
            facts += facts_of_search(found)
        case TrialJob():
            facts += facts_of_trial(found)
    facts.append(("created", _moment(found.created_at)))
    for name, other in (("retry of", found.retry_of), ("retried by", found.retried_by)):
        if other is not None:
            facts.append((name, other))
    if found.started_at is not None:
        ended = found.finished_at or datetime.now(UTC)
        facts.append(("time", f"{(ended - found.started_at).total_seconds():.1f} s, attempt {found.attempt}"))
    if found.webhook is not None:
        facts.append(("webhook", ", ".join(filter(None, [found.webhook.state, found.webhook.error]))))
    shown = _facts(*facts, *_error(found), *(_outcome(found) if isinstance(found, Job) else ()))
    return search_view(shown, found) if isinstance(found, TuneJob) else shown


def jobs(found: Iterable[AnyJob]) -> RenderableType:
    table = Table(box=None, pad_edge=False)
    # An id is there to be copied: it is never cut.
    table.add_column("job", no_wrap=True, min_width=ID_WIDTH)
    for name in ("status", "method", "age"):
        table.add_column(name, no_wrap=True)
    table.add_column("output", overflow="fold")
    for one in found:
        method, output = (one.request.method.name, one.request.output) if isinstance(one, Job) else (one.kind, "")
        table.add_row(one.id, _status(one), method, _age(one.created_at), output)
    return table


def methods(found: Iterable[MethodDescription]) -> RenderableType:
    table = Table("method", "what it does", "options", "paper", box=None, pad_edge=False)
    for one in found:
        properties = one.options.get("properties")
        names = ", ".join(properties) if isinstance(properties, dict) else ""
        table.add_row(Text(one.name, style="bold"), one.summary, names, one.paper)
    return table


def architectures(found: Iterable[ArchitectureDescription]) -> RenderableType:
    table = Table("model_type", "classes with a head", "sizes of a target", box=None, pad_edge=False)
    for one in found:
        table.add_row(Text(one.model_type, style="bold"), ", ".join(one.classes), ", ".join(one.keys.values()))
    return table


def size(bytes_: float) -> str:
    """Bytes as people say them, such as 1.5 GB."""
    for unit in UNITS[:-1]:
        if bytes_ < 1000:
            return f"{bytes_:.0f} {unit}" if unit == "B" else f"{bytes_:.1f} {unit}"
        bytes_ /= 1000
    return f"{bytes_:.1f} {UNITS[-1]}"


def ready(found: Ready) -> RenderableType:
    """What to do once a local service is up."""
    where = "" if found.url == DEFAULT_URL else f" --url {found.url}"
    return Group(
        Text.assemble("The service is ready at ", (found.url, "bold green")),
        _facts(
            ("state", found.state_dir),
            ("submit", f"grow submit REQUEST.json{where}"),
            ("watch", f"grow watch JOB{where}"),
            ("stop", "Ctrl-C"),
        ),
    )


def finding(found: Finding) -> RenderableType:
    """One line, and below it what to do."""
    style = {"ok": "green", "warning": "yellow", "failed": "bold red"}[found.state]
    line = Text.assemble((f"{found.state:8}", style), (f"{found.name:10}", "dim"), found.told)
    return line if found.hint is None else line.append(f"\n{'':18}{found.hint}", "dim")


def error(console: Console, found: GrowError) -> None:
    """One sentence, and below it what to do."""
    console.print(Text.assemble(("Error: ", "bold red"), found.detail), soft_wrap=True)
    if isinstance(found, ProblemError) and found.field and found.field not in found.detail:
        console.print(Text(f"At {found.field} of the request.", style="dim"), soft_wrap=True)
    if isinstance(found, ProblemError) and found.nearest:
        nearest = " ".join(f"{key}={value}" for key, value in found.nearest.items())
        console.print(Text(f"The nearest that works: {nearest}", style="dim"), soft_wrap=True)
    if (hint := hint_for(found)) is not None:
        console.print(Text(hint, style="dim"), soft_wrap=True)


def _source(request: GrowthRequest) -> str:
    if not isinstance(request.source, Untrained):
        return request.source
    family = request.source.config.get("model_type")
    return f"a {family} model trained first, in {_count(request.source.pretrain.steps, 'step')}"


def _facts(*facts: tuple[str, str | Text]) -> Table:
    table = Table.grid(padding=(0, 2))
    table.add_column(style="dim")
    table.add_column(overflow="fold")
    for name, value in facts:
        table.add_row(name, value if isinstance(value, Text) else Text(value))
    return table


def _sizes(source: ModelSize, target: ModelSize) -> Table:
    table = Table("", "source", "target", box=None, pad_edge=False)
    for key in target.sizes:
        table.add_row(key, str(source.sizes.get(key, "")), str(target.sizes[key]))
    table.add_row("parameters", f"{source.parameters:,}", f"{target.parameters:,}")
    table.add_row("bytes", size(source.weight_bytes), size(target.weight_bytes))
    table.add_row("FLOPs per token", f"{source.flops_per_token:.3g}", f"{target.flops_per_token:.3g}")
    return table


def _status(found: JobState) -> Text:
    text = Text(found.status, style=STYLES[found.status])
    if found.status is Status.RUNNING and (found.stage is not None or isinstance(found, TuneJob)):
        text.append(f": {found.stage or 'trials'} {found.progress:.0%}")
    if found.queue_position is not None:
        text.append(f": {_count(found.queue_position, 'job')} ahead")
    if found.expected_wait_seconds is not None:
        text.append(f", starts in about {timedelta(seconds=found.expected_wait_seconds)}")
    if found.cancel_requested and not found.status.terminal:
        text.append(", asked to stop")
    return text


def _error(found: JobState) -> list[tuple[str, str | Text]]:
    if found.error is None:
        return []
    hint: list[tuple[str, str | Text]] = [] if found.error.hint is None else [("hint", found.error.hint)]
    return [("error", Text(found.error.detail, style="red")), *hint]


def _outcome(found: Job) -> list[tuple[str, str | Text]]:
    facts: list[tuple[str, str | Text]] = []
    if found.result is not None:
        facts.append(("wrote", f"{size(found.result.bytes_written)} in {_count(found.result.objects, 'object')}"))
        if (selection := found.result.selection) is not None:
            facts.append(("picked", selection.label))
        for name, report in (("trained", found.result.pretraining), ("fit", found.result.fit)):
            if report is not None:
                losses = f"{report.initial_held_out_loss:.4f} -> {report.final_held_out_loss:.4f}"
                facts.append((name, f"held-out loss {losses} in {_count(report.steps, 'step')}"))
        if found.result.verification is not None:
            facts.append(("verified", _verification(found.result.verification)))
    return facts


def _verification(found: Verification) -> str:
    parts = [f"on {found.tokens} tokens"]
    if found.max_logit_difference is not None and found.max_logit is not None:
        parts.append(f"largest difference {found.max_logit_difference:.2g} at logits up to {found.max_logit:.3g}")
    if found.source_loss is not None and found.target_loss is not None:
        parts.append(f"loss {found.source_loss:.4f} -> {found.target_loss:.4f}")
    return ", ".join(parts)


def _age(moment: datetime) -> str:
    """As kubectl tells it: in the largest unit that it fills."""
    seconds = max(0, int((datetime.now(UTC) - moment).total_seconds()))
    for unit, length in (("d", 86_400), ("h", 3_600), ("m", 60)):
        if seconds >= length:
            return f"{seconds // length}{unit}"
    return f"{seconds}s"


def _moment(moment: datetime) -> str:
    return moment.astimezone().strftime("%Y-%m-%d %H:%M:%S")


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
