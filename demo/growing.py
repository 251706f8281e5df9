"""The small language model grown twice as wide and twice as deep, by every method, and watched as it happens."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rich.console import Console, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from client import GrowClient
from client.watching import sparkline
from demo.language_model import HIDDEN_SIZE, LAYERS, SEQUENCE_LENGTH
from jobs.schema import Event, EventKind, FitPoint, Job, Verification

TARGET = {"hidden_size": 2 * HIDDEN_SIZE, "num_hidden_layers": 2 * LAYERS}
HELD_OUT_FRACTION = 0.2
FIT = {"steps": 40, "batch_size": 8, "held_out_every": 10}
# Methods that only add layers leave the width to another one.
WIDTH = {"width": "hypercloning"}
METHODS: Mapping[str, dict[str, Any]] = {
    "random": {"name": "random"},
    "pad": {"name": "pad"},
    "stack": {"name": "stack", **WIDTH},
    "interpolate": {"name": "interpolate", **WIDTH},
    "solar": {"name": "solar", **WIDTH},
    "identity": {"name": "identity", **WIDTH},
    "net2net": {"name": "net2net"},
    "bert2bert": {"name": "bert2bert"},
    "hypercloning": {"name": "hypercloning"},
    "lemon": {"name": "lemon"},
    "ligo": {"name": "ligo", "init": "pad", **FIT},
    "auto": {"name": "auto"},
}


@dataclass
class Growth:
    """One method's job, as far as it has got."""

    name: str
    job: Job
    stage: str = "queued"
    progress: float = 0.0
    fit: list[FitPoint] = field(default_factory=list)

    def take(self, event: Event) -> None:
        match event.kind:
            case EventKind.STATUS:
                self.stage, self.progress = str(event.data["status"]), 0.0
            case EventKind.STAGE:
                self.stage, self.progress = str(event.data["stage"]), 0.0
            case EventKind.PROGRESS:
                self.progress = float(str(event.data["progress"]))
            case EventKind.FIT:
                self.fit.append(FitPoint.model_validate(event.data))

    @property
    def verification(self) -> Verification:
        assert self.job.result is not None
        assert self.job.result.verification is not None
        return self.job.result.verification

    @property
    def source_loss(self) -> float:
        return _known(self.verification.source_loss)

    @property
    def loss(self) -> float:
        """Held-out loss of the written checkpoint, nats per token."""
        return _known(self.verification.target_loss)

    @property
    def loss_before_fit(self) -> float | None:
        """Of the operator that a fit started from."""
        assert self.job.result is not None
        return None if self.job.result.fit is None else self.job.result.fit.initial_held_out_loss

    @property
    def seconds(self) -> float:
        assert self.job.started_at is not None
        assert self.job.finished_at is not None
        return (self.job.finished_at - self.job.started_at).total_seconds()


def grow_by_every_method(
    client: GrowClient, source: Path, corpus: Path, folder: Path, console: Console
) -> list[Growth]:
    """Submits all jobs at once, shows them as the worker takes them in turn, and returns them when all have ended."""
    growths = [
        Growth(name, client.submit(_request(method, source, corpus, folder / name))) for name, method in METHODS.items()
    ]
    with Live(get_renderable=lambda: _table(growths), console=console, transient=True, refresh_per_second=5):
        for growth in growths:
            for event in client.events(growth.job.id):
                growth.take(event)
            ended = client.wait(growth.job.id, check=True)
            assert isinstance(ended, Job)
            growth.job = ended
    return growths


def _request(method: dict[str, Any], source: Path, corpus: Path, output: Path) -> dict[str, Any]:
    return {
        "source": f"file://{source}",
        "output": f"file://{output}",
        "target": TARGET,
        "method": method,
        "data": {
            "uri": f"file://{corpus}",
            "sequence_length": SEQUENCE_LENGTH,
            "held_out_fraction": HELD_OUT_FRACTION,
        },
    }


def _table(growths: list[Growth]) -> RenderableType:
    table = Table("method", "stage", "", "", box=None)
    for growth in growths:
        losses = [point.loss for point in growth.fit if point.loss is not None]
        table.add_row(
            growth.name,
            Text(growth.stage, style="green" if growth.stage == "succeeded" else "cyan"),
            f"{growth.progress:.0%}" if growth.progress else "",
            f"{sparkline(losses)} {losses[-1]:.3f}" if losses else "",
        )
    return table


def _known(loss: float | None) -> float:
    assert loss is not None
    return loss
