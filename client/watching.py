"""A job as it runs, in a terminal: its stage, how far that is, and the loss of a training or fit in blocks."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Self

from rich.console import Console, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from jobs.schema import Event, EventKind, FitPoint

BLOCKS = "▁▂▃▄▅▆▇█"
LINE_WIDTH = 40


@dataclass
class Watched:
    """What the events of a job have told so far."""

    status: str = "queued"
    stage: str = ""
    progress: float = 0.0
    attempt: int = 0
    curve: EventKind = EventKind.FIT
    """Whose losses these are: the source's training, or the fit."""
    step: int = 0
    losses: list[float] = field(default_factory=list)
    held_out_loss: float | None = None
    last_word: str = ""

    def take(self, event: Event) -> None:
        data = event.data
        if event.attempt != self.attempt:
            self.attempt, self.losses, self.held_out_loss = event.attempt, [], None
        match event.kind:
            case EventKind.STATUS:
                self.status, self.stage, self.progress = str(data["status"]), "", 0.0
            case EventKind.STAGE:
                self.stage, self.progress = str(data["stage"]), 0.0
            case EventKind.PROGRESS:
                self.progress = float(str(data["progress"]))
            case EventKind.CANDIDATE:
                self.last_word = f"{data['label']}: held-out loss {data.get('held_out_loss', 'not finite')}"
            case EventKind.PRETRAINING | EventKind.FIT:
                self._take_point(event)
            case EventKind.TRIAL:
                self.last_word = f"trial {data['number']}"
            case EventKind.LOG:
                self.last_word = str(data.get("message", ""))

    def _take_point(self, event: Event) -> None:
        if event.kind is not self.curve:
            self.curve, self.losses, self.held_out_loss = event.kind, [], None
        point = FitPoint.model_validate(event.data)
        self.step = point.step
        if point.loss is not None:
            self.losses.append(point.loss)
        if point.held_out_loss is not None:
            self.held_out_loss = point.held_out_loss

    def __rich__(self) -> RenderableType:
        table = Table.grid(padding=(0, 2))
        if self.stage:
            bar = ProgressBar(total=1.0, completed=self.progress, width=LINE_WIDTH)
            table.add_row(Text(self.stage, style="bold cyan"), bar, f"{self.progress:4.0%}")
        else:
            table.add_row(Text(self.status, style="bold cyan"))
        if self.losses:
            table.add_row(Text(f"{self.curve} loss", style="dim"), sparkline(self.losses), self._numbers())
        if self.last_word:
            table.add_row("", Text(self.last_word, style="dim"))
        return table

    def _numbers(self) -> str:
        held_out = "" if self.held_out_loss is None else f", held out {self.held_out_loss:.4f}"
        return f"step {self.step}: {self.losses[-1]:.4f}{held_out}"


class Watch:
    """Shows a job live in a terminal; elsewhere prints a line for each new status and stage."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._watched = Watched()
        self._live = Live(self._watched, console=console, transient=True) if console.is_terminal else None

    def __enter__(self) -> Self:
        if self._live is not None:
            self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._live is not None:
            self._live.stop()

    def take(self, event: Event) -> None:
        """Shows what the event changes."""
        self._watched.take(event)
        if self._live is not None:
            self._live.update(self._watched)
        elif event.kind in (EventKind.STATUS, EventKind.STAGE):
            at = event.at.astimezone().strftime("%H:%M:%S")
            self._console.print(f"{at} {self._watched.stage or self._watched.status}", highlight=False)


def sparkline(values: Iterable[float], width: int = LINE_WIDTH) -> str:
    """The values as at most `width` blocks between their least and their largest; each block is a mean."""
    found = list(values)
    width = min(width, len(found))
    edges = [len(found) * i // width for i in range(width + 1)]
    means = [sum(found[a:b]) / (b - a) for a, b in pairwise(edges)]
    low, high = min(means), max(means)
    scale = (len(BLOCKS) - 1) / (high - low) if high > low else 0.0
    return "".join(BLOCKS[round((mean - low) * scale)] for mean in means)
