"""What `grow watch` makes of a job's events."""

import io
from datetime import UTC, datetime
from typing import Any

import pytest
from rich.console import Console

from client.watching import Watch, Watched, sparkline
from jobs.schema import Event, EventKind


def event(kind: EventKind, attempt: int = 1, **data: Any) -> Event:
    return Event(id="1-0", at=datetime(2026, 1, 1, tzinfo=UTC), kind=kind, attempt=attempt, data=data)


RUN = [
    event(EventKind.STATUS, 0, status="queued"),
    event(EventKind.STATUS, status="running"),
    event(EventKind.STAGE, stage="fitting"),
    event(EventKind.FIT, step=0, loss=None, held_out_loss=5.0),
    event(EventKind.FIT, step=1, loss=4.0),
    event(EventKind.FIT, step=2, loss=2.0, held_out_loss=3.0),
    event(EventKind.PROGRESS, stage="fitting", progress=0.25),
    event(EventKind.LOG, message="Half of the way."),
]


def test_state_follows_the_events() -> None:
    watched = Watched()
    for one in RUN:
        watched.take(one)
    assert (watched.status, watched.stage, watched.progress) == ("running", "fitting", 0.25)
    assert (watched.step, watched.losses, watched.held_out_loss) == (2, [4.0, 2.0], 3.0)
    assert watched.last_word == "Half of the way."


@pytest.mark.parametrize(("data", "said"), [({"held_out_loss": 5.25}, "5.25"), ({}, "not finite")])
def test_a_measured_candidate_is_the_last_word(data: dict[str, Any], said: str) -> None:
    watched = Watched()
    watched.take(event(EventKind.CANDIDATE, label="pad + stack", **data))
    assert watched.last_word == f"pad + stack: held-out loss {said}"


def test_another_attempt_starts_over() -> None:
    watched = Watched()
    for one in [*RUN, event(EventKind.STATUS, 2, status="running")]:
        watched.take(one)
    assert (watched.losses, watched.stage, watched.progress) == ([], "", 0.0)


def test_the_losses_of_the_training_and_of_the_fit_are_not_mixed() -> None:
    watched = Watched()
    watched.take(event(EventKind.PRETRAINING, step=1, loss=6.0, held_out_loss=6.5))
    assert (watched.curve, watched.losses, watched.held_out_loss) == (EventKind.PRETRAINING, [6.0], 6.5)
    watched.take(event(EventKind.PRETRAINING, step=2, loss=5.0))
    watched.take(event(EventKind.FIT, step=1, loss=4.0))
    assert (watched.curve, watched.losses, watched.held_out_loss) == (EventKind.FIT, [4.0], None)


def test_terminal_shows_stage_bar_and_loss() -> None:
    console = Console(file=io.StringIO(), width=100, force_terminal=True)
    watched = Watched()
    for one in RUN:
        watched.take(one)
    with console.capture() as shown:
        console.print(watched)
    for part in ("fitting", "25%", "█▁", "step 2: 2.0000, held out 3.0000", "Half of the way."):
        assert part in shown.get()


def test_pipe_gets_a_line_for_each_status_and_stage() -> None:
    written = io.StringIO()
    with Watch(Console(file=written)) as watch:
        for one in RUN:
            watch.take(one)
    assert [line.split()[1] for line in written.getvalue().splitlines()] == ["queued", "running", "fitting"]


@pytest.mark.parametrize(
    ("values", "line"),
    [([1.0], "▁"), ([1.0, 1.0], "▁▁"), ([2.0, 1.0], "█▁"), ([float(n) for n in range(8)], "▁▂▃▄▅▆▇█")],
)
def test_sparkline(values: list[float], line: str) -> None:
    assert sparkline(values) == line


def test_sparkline_of_many_values_keeps_its_width() -> None:
    line = sparkline([float(n) for n in range(1000)], width=10)
    assert len(line) == 10
    assert (line[0], line[-1]) == ("▁", "█")
