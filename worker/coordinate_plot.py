"""The picture of a coordinate check: one line for each module, its scale over the widths, a panel for each step."""

from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

import matplotlib as mpl
from matplotlib.figure import Figure

from growth.coordinate_check import PARAMETRISATIONS, Activation

TITLES = {"standard": "standard", "mup": "muP"}
HASH_SALT = "coordinate check"


def plot_scales(found: Sequence[Activation], file: Path) -> None:
    """Draw `found` to `file`, whose ending tells the format; the same figures make the same file."""
    steps = sorted({activation.step for activation in found})
    figure = Figure(figsize=(2.6 * len(steps), 5.6), layout="constrained")
    panels = figure.subplots(len(PARAMETRISATIONS), len(steps), sharex=True, sharey=True, squeeze=False)
    for row, parametrisation in zip(panels, PARAMETRISATIONS, strict=True):
        for panel, step in zip(row, steps, strict=True):
            lines: dict[str, list[tuple[int, float]]] = defaultdict(list)
            for activation in found:
                if (activation.parametrisation, activation.step) == (parametrisation, step):
                    lines[activation.module].append((activation.width, activation.scale))
            for points in lines.values():
                panel.plot(*zip(*points, strict=True), linewidth=0.8)
            panel.set_title(f"{TITLES[parametrisation]}, step {step}", fontsize="small")
            panel.set_xscale("log", base=2)
            panel.set_yscale("log")
        row[0].set_ylabel("mean |output|")
    for panel in panels[-1]:
        panel.set_xlabel("hidden_size")
    with mpl.rc_context({"svg.hashsalt": HASH_SALT}):
        figure.savefig(file, metadata={"Date": None} if file.suffix == ".svg" else None)
