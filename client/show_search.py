"""How a search of hyper-parameters and its trials look in a terminal."""

from collections.abc import Iterable, Sequence

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from client.watching import sparkline
from jobs.tuning import Trial, TrialJob, TrialState, TuneJob

STYLES = {
    TrialState.QUEUED: "yellow",
    TrialState.RUNNING: "cyan",
    TrialState.COMPLETED: "green",
    TrialState.PRUNED: "dim",
    TrialState.DIVERGED: "red",
    TrialState.FAILED: "red",
    TrialState.CANCELLED: "magenta",
}


def facts_of_search(found: TuneJob) -> list[tuple[str, str | Text]]:
    """What a search is about, and what it found."""
    plan = found.plan
    ratio = plan.target.sizes["hidden_size"] / plan.proxy.sizes["hidden_size"]
    facts: list[tuple[str, str | Text]] = [
        ("target", f"{plan.model_type}, {plan.target.parameters:,} parameters"),
        ("proxy", f"{plan.proxy.parameters:,} parameters, {ratio:g} times narrower"),
        ("search", f"{', '.join(plan.search_space)} by {found.request.sampler}, {plan.trials} trials"),
        ("cost", f"at most {plan.flops:.3g} FLOPs"),
    ]
    if (result := found.result) is not None:
        facts += [
            ("best", f"trial {result.best.number}, held-out loss {result.best.held_out_loss:.4f}"),
            *((f"  {name}", f"{value:g}") for name, value in result.best.point.items()),
            ("spent", f"{result.flops:.3g} FLOPs"),
        ]
    return facts


def facts_of_trial(found: TrialJob) -> list[tuple[str, str | Text]]:
    facts: list[tuple[str, str | Text]] = [
        ("search", found.search),
        ("trial", str(found.number)),
        *((name, f"{value:g}") for name, value in found.point.items()),
    ]
    losses = [point.held_out_loss for point in found.curve if point.held_out_loss is not None]
    return [*facts, ("held out", f"{sparkline(losses)} {losses[-1]:.4f}")] if losses else facts


def trials_table(trials: Sequence[Trial]) -> RenderableType:
    """A line for each trial; the lowest loss of those that have one stands out."""
    # A record has the keys of a point in any order.
    names = sorted(trials[0].point) if trials else []
    table = Table("trial", "state", *names, "step", "held-out loss", "", box=None, pad_edge=False)
    lowest = min((trial.held_out_loss for trial in _whole(trials) if trial.held_out_loss is not None), default=None)
    for trial in trials:
        losses = [point.held_out_loss for point in trial.curve if point.held_out_loss is not None]
        told = "" if trial.held_out_loss is None else f"{trial.held_out_loss:.4f}"
        table.add_row(
            str(trial.number),
            Text(trial.state, style=STYLES[trial.state]),
            *(f"{trial.point[name]:.4g}" for name in names),
            str(trial.steps),
            Text(told, style="bold green" if lowest is not None and trial.held_out_loss == lowest else ""),
            sparkline(losses, 16) if losses else "",
        )
    return table


def search_view(facts: RenderableType, found: TuneJob) -> RenderableType:
    """The facts, and below them the trials."""
    return Group(facts, Text(), trials_table(found.trials)) if found.trials else facts


def _whole(trials: Iterable[Trial]) -> list[Trial]:
    return [trial for trial in trials if trial.state is TrialState.COMPLETED]
