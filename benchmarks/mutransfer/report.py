"""The table, the object behind it, and the plot of losses over rates."""

import os
import platform
from dataclasses import asdict
from math import isfinite
from pathlib import Path
from typing import Any

import matplotlib as mpl
import torch
import transformers

from benchmarks.mutransfer.sweep import Sweep
from growth.coordinate_check import PARAMETRISATIONS

mpl.use("svg")

from matplotlib import pyplot

# The same figures make the same file.
mpl.rcParams["svg.hashsalt"] = "mutransfer"
TITLES = {"standard": "standard parametrisation", "mup": "muP, through our parameter groups"}


def found(sweep: Sweep) -> dict[str, Any]:
    """All that is known, as plain JSON values."""
    family = sweep.family
    return {
        "machine": {
            "cores": os.cpu_count(),
            "system": platform.platform(terse=True),
            "python": platform.python_version(),
            "torch": torch.__version__,
            "transformers": transformers.__version__,
        },
        "recipe": asdict(family.recipe),
        "steps": family.steps,
        "warmup": family.warmup,
        "seeds": sweep.seeds,
        "sweeps": {
            parametrisation: {
                width: {
                    "best_power": sweep.best(parametrisation, width),
                    "losses": {power: _finite(loss) for power, loss in sweep.losses(parametrisation, width).items()},
                    "runs": {
                        power: {seed: asdict(run) for seed, run in sweep.runs(parametrisation, width, power).items()}
                        for power in sweep.losses(parametrisation, width)
                    },
                }
                for width in family.widths
                if sweep.losses(parametrisation, width)
            }
            for parametrisation in PARAMETRISATIONS
        },
        "transfer": _transfer(sweep),
    }


def lines(told: dict[str, Any]) -> list[str]:
    """The tables in Markdown."""
    rows = [
        f"| {parametrisation} | {width} | 2^{at['best_power']} | {_shown(at['losses'][at['best_power']])} | "
        + ", ".join(f"2^{power}: {_shown(loss)}" for power, loss in at["losses"].items())
        + " |"
        for parametrisation, widths in told["sweeps"].items()
        for width, at in widths.items()
    ]
    head = ["| parametrisation | width | best rate | loss | losses |", "|---|---|---|---|---|"]
    return [*head, *rows, "", *_told(told["transfer"])]


def _told(moved: dict[str, Any]) -> list[str]:
    direct, above, cost = moved["direct"], moved["above"], moved["cost"]
    return [
        f"The best rate moves by 2^{moved['moved']['standard']} under the standard parametrisation, by "
        f"2^{moved['moved']['mup']} under muP.",
        f"The target at the proxy's rate: loss {moved['loss']:.4f}; tuned directly under muP {direct['mup']:.4f} "
        f"({100 * above['mup']:+.2f} %), under the standard parametrisation {direct['standard']:.4f} "
        f"({100 * above['standard']:+.2f} %).",
        f"Tuning the proxy takes {100 * cost['of_direct_tuning']:.1f} % of the FLOPs of tuning the target directly, "
        f"{100 * cost['of_one_training']:.1f} % of those of one training of the target; with that training it is "
        f"{100 * cost['with_training']:.1f} % of tuning it directly.",
    ]


def plot(told: dict[str, Any], file: Path) -> None:
    """Losses over rates, one curve for each width, the parametrisations side by side."""
    figure, panels = pyplot.subplots(1, 2, figsize=(11, 4.5), layout="constrained", sharey=True)
    for panel, (parametrisation, widths) in zip(panels, told["sweeps"].items(), strict=True):
        for number, (width, at) in enumerate(widths.items()):
            known = [(float(power), loss) for power, loss in at["losses"].items() if loss is not None]
            panel.plot(*zip(*known, strict=True), marker="o", color=f"C{number}", label=f"hidden_size {width}")
            best = at["best_power"]
            panel.plot(float(best), at["losses"][best], marker="*", markersize=16, color=f"C{number}")
        panel.set_title(TITLES[parametrisation])
        panel.set_xlabel("learning rate, as a power of 2")
        panel.legend(fontsize="small")
    panels[0].set_ylabel("held-out loss, nats per byte")
    figure.savefig(file, format="svg", metadata={"Date": None})
    pyplot.close(figure)


def _transfer(sweep: Sweep) -> dict[str, Any]:
    """What the target comes to at the proxy's best rate, against tuning it directly, and what either costs.

    Tuning directly costs as many trials at the target's size as the proxy had.
    """
    proxy, target = sweep.family.widths[0], sweep.family.widths[-1]
    rate = sweep.best("mup", proxy)
    losses = sweep.losses("mup", target)
    direct = {kind: min(sweep.losses(kind, target).values()) for kind in PARAMETRISATIONS}
    loss, trials = losses[rate], len(sweep.losses("mup", proxy))
    tuning = sum(run.flops for power in sweep.losses("mup", proxy) for run in sweep.runs("mup", proxy, power).values())
    tuning, training = tuning / len(sweep.seeds), sweep.runs("mup", target, rate)[sweep.seeds[0]].flops
    return {
        "rate": 2.0**rate,
        "loss": loss,
        "direct": direct,
        "above": {kind: round(loss / best - 1, 5) for kind, best in direct.items()},
        "moved": {kind: sweep.best(kind, target) - sweep.best(kind, proxy) for kind in PARAMETRISATIONS},
        "trials": trials,
        "cost": {
            "of_direct_tuning": round(tuning / (trials * training), 4),
            "of_one_training": round(tuning / training, 4),
            "with_training": round((tuning + training) / (trials * training), 4),
        },
    }


def _finite(loss: float) -> float | None:
    return round(loss, 5) if isfinite(loss) else None


def _shown(loss: float | None) -> str:
    return "diverged" if loss is None else f"{loss:.4f}"
