"""The table, the object behind it, and the plot of losses over FLOPs."""

import json
import os
import platform
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from statistics import mean
from typing import Any

import matplotlib as mpl
import torch
import transformers

from benchmarks.savings.methods import RANDOM, Entry
from benchmarks.savings.savings import Saving, saving
from benchmarks.savings.search import Bracket, Course

mpl.use("svg")

from matplotlib import pyplot


def found(course: Course) -> dict[str, Any]:
    """All that is known, as plain JSON values; rows from the largest saving to the least."""
    search = course.search
    rows = [_row(course, entry) for entry in search.methods] + [_random(course)]
    return {
        "machine": {
            "cores": os.cpu_count(),
            "system": platform.platform(terse=True),
            "python": platform.python_version(),
            "torch": torch.__version__,
            "transformers": transformers.__version__,
        },
        "recipe": asdict(course.recipe),
        "seeds": course.seeds,
        "ladder": search.ladder,
        "sources": {seed: _told(course.source(seed)) for seed in course.seeds},
        "annealed_source": _told(course.annealed()),
        "continued_source": None if (run := course.continued_run()) is None else _told(course.result(run)),
        "scratch": {
            "steps": search.scratch_steps,
            "rate": course.scratch_bracket().leading,
            **_rates(course.scratch_bracket()),
            "runs": {seed: _told(course.scratch(seed)) for seed in course.seeds},
        },
        "random_beside_scratch": {"steps": search.checked_steps, "losses": _checks(course)},
        "methods": sorted(rows, key=lambda row: -(row["saved"] if row["saved"] is not None else -1.0)),
    }


def lines(told: dict[str, Any]) -> list[str]:
    """The table in Markdown."""
    scratch, sources = told["scratch"], [source for source in told["sources"].values() if source]
    runs = [run for run in scratch["runs"].values() if run]
    checked = "" if scratch["best_rate"] else ", whose neighbours are not all known"
    head = [
        f"Scratch: {scratch['steps']} steps, rate {scratch['rate']}{checked}: loss {_listed(r['loss'] for r in runs)}.",
        f"Source: loss {_listed(source['loss'] for source in sources)}.",
        _annealing(told),
        _continuing(told),
        f"Random growth beside scratch, {told['random_beside_scratch']['steps']} steps: "
        f"{_listed(told['random_beside_scratch']['losses'])}.",
        "",
        "| method | rate | loss right after growth | steps to scratch's loss | FLOPs saved | less the source's |",
        "|---|---|---|---|---|---|",
    ]
    return head + [_line(row) for row in told["methods"]]


def plot(course: Course, file: Path) -> None:
    """Losses of the first seed over FLOPs, the fit's included, one line for each method."""
    figure, axes = pyplot.subplots(figsize=(9, 6), layout="constrained")
    seed = course.seeds[0]
    for number, entry in enumerate(course.search.methods):
        results = course.grown(entry, seed).values()
        measured = [(result.flops + result.fit_flops, result.loss) for result in results if result.loss is not None]
        if measured:
            style, marker = "--" if entry.fits else "-", "o^"[number // 10]
            axes.plot(*zip(*measured, strict=True), style, marker=marker, color=f"C{number % 10}", label=entry.label)
    scratch, source = course.scratch(seed), course.source(seed)
    if scratch is not None and scratch.loss is not None:
        axes.axhline(scratch.loss, color="black", linestyle="--", label=f"scratch in the end, {scratch.loss:.4f}")
        axes.plot([scratch.flops], [scratch.loss], "k*", markersize=12)
    if source is not None and source.loss is not None:
        axes.axhline(source.loss, color="grey", linestyle=":", label=f"source, {source.loss:.4f}")
    axes.set_xscale("log")
    axes.set_xlabel("FLOPs of fit and training after growth")
    axes.set_ylabel("held-out loss at the end of the training, nats")
    axes.legend(fontsize="small")
    mpl.rcParams["svg.hashsalt"] = "savings"
    figure.savefig(file, format="svg", metadata={"Date": None})
    pyplot.close(figure)


def _row(course: Course, entry: Entry) -> dict[str, Any]:
    savings = [found for seed in course.seeds if (found := saving(course, entry, seed)) is not None]
    runs = {seed: course.grown(entry, seed) for seed in course.seeds}
    return {
        "label": entry.label,
        "method": dict(entry.method),
        **_rates(course.rates(entry)),
        "complete": course.settled(entry, course.seeds[0]),
        **_means(savings),
        "runs": {seed: {steps: asdict(result) for steps, result in by.items()} for seed, by in runs.items()},
    }


def _random(course: Course) -> dict[str, Any]:
    """A growth that keeps nothing is scratch's training, which saves nothing and has no use for a source."""
    search, checks = course.search, course.checks()
    grown = None if checks is None else course.result(checks[1])
    spent = {seed: (course.source(seed), course.scratch(seed)) for seed in course.seeds}
    savings = [
        Saving(seed, search.scratch_steps, 0.0, round(-source.flops / scratch.flops, 4), bound=False)
        for seed, (source, scratch) in spent.items()
        if source is not None and scratch is not None and grown is not None
    ]
    return {
        "label": "random (scratch, by definition)",
        "method": json.loads(RANDOM),
        **_rates(course.scratch_bracket()),
        "complete": bool(savings),
        **_means(savings),
        "runs": {course.seeds[0]: {} if grown is None else {search.checked_steps: asdict(grown)}},
    }


def _means(savings: Sequence[Saving]) -> dict[str, Any]:
    return {
        "saved": round(mean(s.without_source for s in savings), 4) if savings else None,
        "saved_with_source": round(mean(s.with_source for s in savings), 4) if savings else None,
        "savings": [asdict(s) for s in savings],
    }


def _rates(bracket: Bracket) -> dict[str, Any]:
    return {"best_rate": bracket.best, "losses_by_rate": dict(sorted(bracket.losses.items()))}


def _annealing(told: dict[str, Any]) -> str:
    """What the source comes to without growth, and whether savings can tell anything of growth."""
    annealed, scratch = told["annealed_source"], next(iter(told["scratch"]["runs"].values()))
    if annealed is None or scratch is None:
        return "Source annealed without growth: not run."
    share = f"{100 * annealed['flops'] / scratch['flops']:.1f} % of scratch's FLOPs"
    if annealed["loss"] > scratch["loss"]:
        return f"Source annealed without growth, for {share}: loss {annealed['loss']}, above scratch."
    return (
        f"Source annealed without growth, for {share}: loss {annealed['loss']}. THIS IS BELOW SCRATCH: a source needs "
        "no growth to reach it, and the savings here do not tell what growth is worth."
    )


def _continuing(told: dict[str, Any]) -> str:
    """What the source would come to for all that scratch costs."""
    found = told["continued_source"]
    loss = "not run" if found is None else f"loss {found['loss']}"
    return f"Source trained on without growth, annealed, until it has had scratch's FLOPs: {loss}."


def _told(result: Any) -> dict[str, Any] | None:
    return None if result is None else asdict(result)


def _checks(course: Course) -> list[float]:
    results = [course.result(run) for run in course.checks() or ()]
    return [result.loss for result in results if result is not None and result.loss is not None]


def _line(row: dict[str, Any]) -> str:
    starts = [next(iter(by.values()))["start_loss"] for by in row["runs"].values() if by]
    rate = "" if row["best_rate"] is None else f"{row['best_rate']:.2g}"
    savings = row["savings"]
    least = "at least " if any(s["bound"] for s in savings) else ""
    cells = [row["label"], rate, _listed(starts), _listed(s["steps"] for s in savings)]
    for key, parts in (("saved", "without_source"), ("saved_with_source", "with_source")):
        each = ", ".join(f"{100 * s[parts]:.1f}" for s in savings)
        told = "" if row[key] is None else f"{least}{100 * row[key]:.1f} %" + (f" ({each})" if len(savings) > 1 else "")
        cells.append(told or _tried(row))
    return f"| {' | '.join(cells)} |"


def _tried(row: dict[str, Any]) -> str:
    """What a method without a saving came to."""
    said = "not reached" if row["complete"] else "unfinished"
    last = [(steps, result["loss"]) for by in row["runs"].values() for steps, result in by.items()]
    if not last and row["losses_by_rate"]:
        return f"{said}: {min(row['losses_by_rate'].values())} so far at the least budget"
    return f"{said}: {max(last)[1]} after {max(last)[0]} steps" if last else "not run"


def _listed(values: Any) -> str:
    return ", ".join(f"{value:.4f}" if isinstance(value, float) else str(value) for value in values)
