"""The comparison of a grown model with its source: it finds what differs, reads hidden states back, refuses NaN."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from growth.errors import InvalidCheckpoint
from growth.fit import IGNORED_LABEL, Batch
from growth.operators.method import Nested
from growth.plan import GrowthPlan
from growth.verify import NotFinite, compare
from tests.growth.fit_bench import MAKERS
from tests.growth.folders import write_grown
from tests.growth.growing import Source, Target, load
from tests.growth.text import token_rows

WIDE: Target = {"hidden_size": 64}
PADDED: Target = {"hidden_size": 48}
Change = Callable[[Any], object]


@dataclass(frozen=True)
class Pair:
    """A source and what has grown from it, both in stock transformers."""

    plan: GrowthPlan
    source: Any
    target: Any
    batches: list[Batch]

    @classmethod
    def of(cls, family: str, folder: Path, target: Target, method: Nested, *, headed: bool = True) -> "Pair":
        source = Source.open(MAKERS[family](folder / "source", headed=headed))
        plan = source.plan(target, method)
        grown = write_grown(plan, source.reader, folder / "target")
        rows = token_rows(source.path)[:10]
        batches: list[Batch] = [{"input_ids": part, "labels": part} for part in torch.split(rows, 4)]
        return cls(plan, load(source.path)[0], load(grown)[0], batches)


@torch.no_grad()
def change(model: nn.Module, what: Change) -> None:
    what(model)


def test_a_grown_model_differs_by_rounding_alone(tmp_path: Path) -> None:
    pair = Pair.of("gpt2", tmp_path, WIDE, "hypercloning")
    found = compare(pair.plan, pair.source.train(), pair.target.train(), pair.batches)
    assert found.tokens == 2 * 4 * 24
    with torch.no_grad():
        logits = pair.source(input_ids=torch.cat([batch["input_ids"] for batch in pair.batches])).logits
        rows = torch.cat([batch["labels"] for batch in pair.batches])
        loss = nn.functional.cross_entropy(logits[:, :-1].flatten(0, 1), rows[:, 1:].flatten())
    assert found.max_output == pytest.approx(float(logits[:8].abs().max()))
    assert 0 < found.max_difference < 5e-5 * found.max_output
    assert found.source_loss == pytest.approx(float(loss), abs=1e-5)
    assert found.target_loss == pytest.approx(float(loss), abs=1e-4)


def test_a_known_difference_of_logits_is_found(tmp_path: Path) -> None:
    pair = Pair.of("bert", tmp_path, WIDE, "hypercloning")
    before = compare(pair.plan, pair.source, pair.target, pair.batches)
    change(pair.target, lambda model: model.cls.predictions.bias[7].add_(0.25))
    found = compare(pair.plan, pair.source, pair.target, pair.batches)
    assert found.max_difference == pytest.approx(0.25, abs=1e-4)
    assert found.source_loss == before.source_loss
    assert found.target_loss != before.target_loss
    assert found.max_output == before.max_output


def test_only_the_first_batches_are_compared(tmp_path: Path) -> None:
    pair = Pair.of("bert", tmp_path, WIDE, "hypercloning")
    for count, tokens in ((1, 96), (2, 192), (5, 240)):
        assert compare(pair.plan, pair.source, pair.target, pair.batches, compared_batches=count).tokens == tokens


def test_without_labels_there_is_no_loss(tmp_path: Path) -> None:
    pair = Pair.of("llama", tmp_path, WIDE, "hypercloning")
    found = compare(pair.plan, pair.source, pair.target, [{"input_ids": batch["input_ids"]} for batch in pair.batches])
    assert (found.source_loss, found.target_loss) == (None, None)
    assert found.max_difference < 5e-5 * found.max_output


@pytest.mark.parametrize(
    ("family", "target", "method"),
    [
        ("bert", WIDE, "hypercloning"),
        ("llama", WIDE, "lemon"),
        ("llama", PADDED, "lemon"),
        ("gpt2", PADDED, "lemon"),
        ("llama", {"num_hidden_layers": 3}, "identity"),
    ],
)
def test_hidden_states_are_read_back_where_there_is_no_head(
    family: str, target: Target, method: str, tmp_path: Path
) -> None:
    pair = Pair.of(family, tmp_path, target, method, headed=False)
    found = compare(pair.plan, pair.source, pair.target, pair.batches)
    assert (found.source_loss, found.target_loss) == (None, None)
    assert found.max_difference < 5e-5 * found.max_output


def test_a_known_difference_of_hidden_states_is_found(tmp_path: Path) -> None:
    pair = Pair.of("llama", tmp_path, WIDE, "lemon", headed=False)
    change(pair.target, lambda model: model.norm.weight.mul_(1.5))
    found = compare(pair.plan, pair.source, pair.target, pair.batches)
    assert found.max_difference == pytest.approx(0.5 * found.max_output, rel=1e-4)


@pytest.mark.parametrize("headed", [True, False])
@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_target_that_is_not_finite_is_refused(headed: bool, value: float, tmp_path: Path) -> None:
    pair = Pair.of("llama", tmp_path, WIDE, "hypercloning", headed=headed)
    change(pair.target, lambda model: model.get_input_embeddings().weight.fill_(value))
    with pytest.raises(
        NotFinite, match=r"grown model computes infinities or NaN; take float32 or bfloat16 as dtype\.$"
    ):
        compare(pair.plan, pair.source, pair.target, pair.batches)


def test_a_target_that_is_not_finite_on_a_later_batch_is_refused_too(tmp_path: Path) -> None:
    pair = Pair.of("llama", tmp_path, WIDE, "hypercloning")
    seen = {int(token) for batch in pair.batches[:2] for token in batch["input_ids"].flatten()}
    late = {"input_ids": torch.full((1, 24), next(token for token in range(300) if token not in seen))}
    token = int(late["input_ids"][0, 0])
    change(pair.target, lambda model: model.get_input_embeddings().weight[token].fill_(float("nan")))
    with pytest.raises(NotFinite):
        compare(pair.plan, pair.source, pair.target, [*pair.batches[:2], late | {"labels": late["input_ids"]}])


def test_a_source_that_is_not_finite_is_told_as_such(tmp_path: Path) -> None:
    pair = Pair.of("llama", tmp_path, WIDE, "hypercloning")
    change(pair.source, lambda model: model.model.norm.weight[3].fill_(float("nan")))
    with pytest.raises(InvalidCheckpoint, match="source model itself"):
        compare(pair.plan, pair.source, pair.target, pair.batches)


def test_losses_count_labelled_tokens(tmp_path: Path) -> None:
    pair = Pair.of("bert", tmp_path, WIDE, "hypercloning")
    labels = pair.batches[0]["labels"].clone()
    labels[:, 1:] = IGNORED_LABEL
    batches = [{**pair.batches[0], "labels": labels}, pair.batches[1]]
    found = compare(pair.plan, pair.source, pair.target, batches)
    with torch.no_grad():
        logits = torch.cat([pair.source(input_ids=batch["input_ids"]).logits for batch in batches]).flatten(0, 1)
        told = torch.cat([batch["labels"] for batch in batches]).flatten()
        expected = float(nn.functional.cross_entropy(logits, told, ignore_index=IGNORED_LABEL))
    assert found.source_loss == pytest.approx(expected, abs=1e-5)
