"""What the demo measured: one table, one plot."""

from pathlib import Path

import matplotlib as mpl
from rich.table import Table

from demo.growing import Growth

mpl.use("Agg")

from matplotlib import pyplot

SAME = 1e-3
"""Losses closer than this are called the same."""


def table(growths: list[Growth]) -> Table:
    """Held-out losses of the source, of each grown model, and of a random start."""
    found = Table("model", "held-out loss", "to source", "seconds", "before its fit", box=None)
    source = growths[0].source_loss
    found.add_row("source", f"{source:.4f}", "", "", "")
    for growth in growths:
        found.add_row(*_row(growth, source))
    return found


def plot(growths: list[Growth], file: Path) -> None:
    """Bars of the losses right after growth beside the source's, and the course of the fit."""
    figure, (bars, course) = pyplot.subplots(1, 2, figsize=(11, 4.5), layout="constrained")
    ordered = sorted(growths, key=lambda growth: growth.loss)
    source = growths[0].source_loss
    bars.barh([growth.name for growth in ordered], [growth.loss for growth in ordered], color="#4878a8")
    bars.axvline(source, color="black", linestyle="--", label=f"source, {source:.3f}")
    bars.invert_yaxis()
    bars.set_xlabel("held-out loss after growth, nats per token")
    bars.legend()
    for growth in growths:
        measured = [(point.step, point.held_out_loss) for point in growth.fit if point.held_out_loss is not None]
        if measured:
            course.plot(*zip(*measured, strict=True), marker="o", label=growth.name)
    course.axhline(source, color="black", linestyle="--", label="source")
    course.set_xlabel("step of the fit")
    course.set_ylabel("held-out loss, nats per token")
    course.legend()
    figure.savefig(file, dpi=120)
    pyplot.close(figure)


def _row(growth: Growth, source: float) -> tuple[str, ...]:
    difference = growth.loss - source
    against = "the same" if abs(difference) < SAME else f"{difference:+.4f}"
    name = "random start" if growth.name == "random" else growth.name
    before = "" if growth.loss_before_fit is None else f"{growth.loss_before_fit:.4f}"
    return name, f"{growth.loss:.4f}", against, f"{growth.seconds:.1f}", before
