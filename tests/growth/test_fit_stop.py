"""A fit can stop at any step and go on as if nothing had been, and changes nothing but its own factors."""

from pathlib import Path
from typing import Any

import pytest
import torch

from growth.fit import FitOutcome, FitState, Point
from tests.growth.fit_bench import BERT_CLONING, BERT_PAD, GPT2_PAD, LLAMA_PAD, Bench, Case, learned, quiet


def assert_same(first: FitOutcome, second: FitOutcome, bench: Bench) -> None:
    """Bit by bit."""
    assert first.curve == second.curve
    ours, theirs = learned(first, bench), learned(second, bench)
    assert all(torch.equal(ours[name], theirs[name]) for name in ours | theirs)


@pytest.mark.parametrize(
    ("case", "options"),
    [
        (LLAMA_PAD, {}),
        (BERT_CLONING, {}),
        (LLAMA_PAD, {"optimizer": "sgd", "share": "layer", "gradient_accumulation": 2}),
        (BERT_CLONING, {"tie": "normalised", "attention": "dense", "rank": 3}),
    ],
    ids=str,
)
def test_a_fit_that_goes_on_from_saved_bytes_ends_as_one_that_never_stopped(
    case: Case, options: dict[str, Any], tmp_path: Path
) -> None:
    bench = Bench.of(case, tmp_path, torch.float32, steps=6, held_out_every=2, weight_decay=0.01, **options)
    saved: list[bytes] = []
    whole = bench.fit().run(quiet, lambda state: saved.append(state.to_bytes()), checkpoint_seconds=0.0)
    assert len(saved) == 6
    for stopped_at in (1, 3, 6):
        fit = bench.fit()
        fit.resume(FitState.from_bytes(saved[stopped_at - 1]))
        assert fit.state.step == stopped_at
        points: list[Point] = []
        assert_same(fit.run(points.append, quiet), whole, bench)
        assert [p.step for p in points] == list(range(stopped_at + 1, 7))


def test_nothing_is_saved_before_its_time(tmp_path: Path) -> None:
    saved: list[FitState] = []
    Bench.of(LLAMA_PAD, tmp_path, torch.float32, steps=2).fit().run(quiet, saved.append, checkpoint_seconds=60.0)
    assert not saved


class Stopped(Exception):
    """Raised by a test in the middle of a fit."""


@pytest.mark.parametrize("stopped_at", [0, 2, 4])
def test_a_stop_does_no_damage(stopped_at: int, tmp_path: Path) -> None:
    bench = Bench.of(GPT2_PAD, tmp_path, torch.float32, steps=4, held_out_every=2)
    whole = bench.fit().run(quiet, quiet)
    saved: list[bytes] = []

    def stop(point: Point) -> None:
        if point.step == stopped_at:
            raise Stopped

    fit = bench.fit()
    with pytest.raises(Stopped):
        fit.run(stop, lambda state: saved.append(state.to_bytes()), checkpoint_seconds=0.0)
    assert len(saved) == max(0, stopped_at - 1)
    assert_same(fit.run(quiet, quiet), whole, bench)
    if saved:
        second = bench.fit()
        second.resume(FitState.from_bytes(saved[-1]))
        assert_same(second.run(quiet, quiet), whole, bench)


def test_the_module_and_the_source_stay_as_they_are(tmp_path: Path) -> None:
    bench = Bench.of(BERT_PAD, tmp_path, torch.float32, steps=2)
    source = {name: tensor.clone() for name, tensor in bench.source.items()}
    buffers = {name: buffer.clone() for name, buffer in bench.module.named_buffers()}
    outcome = bench.fit().run(quiet, quiet)
    assert outcome.curve[-1].held_out_loss == outcome.curve[-1].held_out_loss
    assert all(parameter.isnan().all() and parameter.grad is None for parameter in bench.module.parameters())
    assert all(torch.equal(buffer, buffers[name]) for name, buffer in bench.module.named_buffers())
    assert all(torch.equal(tensor, source[name]) and not tensor.requires_grad for name, tensor in bench.source.items())


def test_an_operator_stays_when_its_fit_is_taken_elsewhere(tmp_path: Path) -> None:
    bench = Bench.of(LLAMA_PAD, tmp_path, torch.float32, steps=2)
    states: list[bytes] = []
    fit = bench.fit()
    outcome = fit.run(quiet, lambda state: states.append(state.to_bytes()), checkpoint_seconds=0.0)
    before = {name: matrix.clone() for name, matrix in learned(outcome, bench).items()}
    fit.resume(FitState.from_bytes(states[0]))
    assert all(torch.equal(matrix, before[name]) for name, matrix in learned(outcome, bench).items())
