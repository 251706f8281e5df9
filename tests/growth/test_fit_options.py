"""Each of LiGO's options against brute force: gradients, steps, and which options must not change anything."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from growth.fit import IGNORED_LABEL, Batch
from tests.growth.fit_bench import (
    BERT_PAD,
    BIASED,
    CLONING,
    DOUBLE,
    GPT2_CLONING,
    GPT2_PAD,
    HALF,
    LEMON,
    LLAMA_PAD,
    LLAMA_PAD_TIED,
    Bench,
    Case,
    learned,
    perturbed,
    quiet,
)
from tests.growth.fit_by_hand import (
    TRAJECTORY,
    adamw_by_hand,
    assert_equal,
    assert_gradients,
    at,
    gradients,
    gradients_by_hand,
    sgd_by_hand,
)
from tests.growth.growing import KeepFloat64
from tests.growth.text import TextBatches

Options = Mapping[str, Any]
MHA = Case("llama", "pad", HALF, (("num_key_value_heads", 4),))
NOISY = {"name": "hypercloning", "depth": "stack", "snr_db": 10.0}
LLAMA_CLONING = Case("llama", CLONING, DOUBLE, BIASED)
LLAMA_LEMON, BERT_CLONING = Case("llama", LEMON, DOUBLE), Case("bert", CLONING, DOUBLE)
# Sizes that no number of groups divides.
UNEVEN = Case("gpt2", "pad", {**HALF, "num_attention_heads": 4, "intermediate_size": 150})

STRUCTURES: list[tuple[Case, Options]] = [
    *((case, {"share": "layer"}) for case in (LLAMA_PAD, GPT2_PAD, BERT_PAD, GPT2_CLONING)),
    *((case, {"tie": "transposed"}) for case in (MHA, LLAMA_PAD_TIED, GPT2_CLONING, BERT_PAD, LLAMA_LEMON)),
    *((case, {"tie": "normalised"}) for case in (LLAMA_PAD, BERT_PAD, LLAMA_CLONING, GPT2_CLONING, LLAMA_LEMON)),
    *((case, {"attention": "dense"}) for case in (MHA, LLAMA_PAD, GPT2_PAD, BERT_PAD, LLAMA_CLONING)),
    *((case, {"rank": 3}) for case in (LLAMA_PAD, GPT2_CLONING, BERT_PAD)),
    *((case, {"residual": False}) for case in (LLAMA_PAD, Case("llama", NOISY, DOUBLE), Case("bert", NOISY, DOUBLE))),
    *((case, {"residual_groups": groups}) for groups in (1, 3) for case in (LLAMA_PAD, UNEVEN, BERT_PAD)),
    (BERT_PAD, {"share": "layer", "tie": "transposed", "attention": "dense", "rank": 3}),
    (GPT2_CLONING, {"share": "layer", "tie": "normalised", "attention": "dense", "rank": 3}),
    *(
        (case, {"share": "layer", "tie": "normalised", "attention": "dense", "residual": False})
        for case in (LLAMA_PAD, MHA)
    ),
]


def told(value: object) -> str:
    return "-".join(f"{key}={v}" for key, v in value.items()) if isinstance(value, Mapping) else str(value)


@pytest.mark.parametrize("form", ["factored", "materialised"])
@pytest.mark.parametrize(("case", "options"), STRUCTURES, ids=told)
def test_gradients_equal_those_through_dense_matrices(case: Case, options: Options, form: str, tmp_path: Path) -> None:
    bench = Bench.of(case, tmp_path, torch.float64, **options, form=form)
    assert_gradients(bench)


@pytest.mark.parametrize(
    ("case", "options"),
    [
        (LLAMA_PAD, {"share": "layer"}),
        (BERT_PAD, {"tie": "transposed"}),
        (LLAMA_PAD, {"tie": "normalised"}),
        (GPT2_CLONING, {"tie": "normalised"}),
        (LLAMA_PAD, {"attention": "dense"}),
        (MHA, {"attention": "dense"}),
        (GPT2_PAD, {"attention": "dense"}),
        (BERT_PAD, {"attention": "dense"}),
        (BERT_PAD, {"rank": 3}),
        (LLAMA_CLONING, {"residual": False}),
        (LLAMA_PAD, {"residual_groups": 1}),
        (BERT_PAD, {"share": "layer", "tie": "transposed", "attention": "dense", "rank": 3}),
    ],
    ids=told,
)
def test_ten_steps_of_adamw_equal_those_by_hand(case: Case, options: Options, tmp_path: Path) -> None:
    bench = Bench.of(case, tmp_path, torch.float64, **TRAJECTORY, **options)
    outcome = bench.fit().run(quiet, quiet)
    factors, losses = adamw_by_hand(bench)
    assert_equal(learned(outcome, bench), factors)
    assert outcome.learned_numbers == sum(t.numel() for t in factors.values())
    assert [p.loss for p in outcome.curve[1:]] == pytest.approx(losses, abs=1e-9)


@pytest.mark.parametrize(("case", "options"), [(LLAMA_PAD, {}), (BERT_PAD, {"tie": "transposed"})], ids=told)
def test_ten_steps_of_sgd_equal_those_by_hand(case: Case, options: Options, tmp_path: Path) -> None:
    bench = Bench.of(case, tmp_path, torch.float64, **TRAJECTORY, **options, optimizer="sgd")
    outcome = bench.fit().run(quiet, quiet)
    factors, losses = sgd_by_hand(bench)
    assert_equal(learned(outcome, bench), factors)
    assert [p.loss for p in outcome.curve[1:]] == pytest.approx(losses, abs=1e-9)


@pytest.mark.parametrize("form", ["factored", "materialised"])
@pytest.mark.parametrize("case", [LLAMA_PAD_TIED, GPT2_CLONING, BERT_PAD], ids=str)
def test_what_a_block_computes_again_changes_no_gradient(case: Case, form: str, tmp_path: Path) -> None:
    found = {}
    for kind in ("none", "selective", "full"):
        bench = Bench.of(case, tmp_path, torch.float64, form=form, activation_checkpointing=kind)
        found[kind] = gradients(bench, perturbed(bench.start()))
    assert_equal(found["none"], gradients_by_hand(bench, perturbed(bench.start()))[1])
    for kind in ("selective", "full"):
        assert_equal(found[kind], found["none"], 1e-13)


class UnevenBatches(TextBatches):
    """Rows of which each has another number of labels, the first none at all."""

    def batch(self, step: int) -> Batch:
        found = dict(super().batch(step))
        labels = found["labels"].clone()
        for row in range(len(labels)):
            labels[row, 7 * row :] = IGNORED_LABEL
        return {**found, "labels": labels}


@pytest.mark.parametrize("form", ["factored", "materialised"])
@pytest.mark.parametrize("uneven", [False, True], ids=["even", "uneven"])
@pytest.mark.parametrize(
    ("case", "options"),
    [(LLAMA_PAD, {"tie": "normalised"}), (BERT_PAD, {}), (BERT_PAD, {"rank": 3, "tie": "transposed"})],
    ids=told,
)
def test_a_batch_in_parts_has_the_gradient_of_the_whole(
    case: Case, options: Options, uneven: bool, form: str, tmp_path: Path
) -> None:
    found: list[dict[str, Tensor]] = []
    for parts in (1, 3, 4, 100):
        bench = Bench.of(case, tmp_path, torch.float64, form=form, gradient_accumulation=parts, **options)
        if uneven:
            bench = replace(bench, batches=UnevenBatches(bench.batches.rows, bench.batches.mask_id))
        with KeepFloat64():  # type: ignore[no-untyped-call]
            found.append(gradients(bench, perturbed(bench.start())))
    with KeepFloat64():  # type: ignore[no-untyped-call]
        assert_equal(found[0], gradients_by_hand(bench, perturbed(bench.start()))[1])
    for gradient in found[1:]:
        assert_equal(gradient, found[0], 1e-12)


def test_parts_without_a_label_leave_the_loss_as_it_is(tmp_path: Path) -> None:
    losses = []
    for parts in (1, 4):
        bench = Bench.of(BERT_PAD, tmp_path, torch.float64, steps=1, gradient_accumulation=parts)
        bench = replace(bench, batches=UnevenBatches(bench.batches.rows, bench.batches.mask_id))
        losses.append(bench.fit().run(quiet, quiet).curve[1].loss)
    assert losses[0] == pytest.approx(losses[1], abs=1e-6)


@pytest.mark.parametrize("form", ["factored", "materialised"])
@pytest.mark.parametrize("case", [LLAMA_PAD, GPT2_PAD, BERT_PAD], ids=str)
def test_bfloat16_computes_the_same_within_its_rounding(case: Case, form: str, tmp_path: Path) -> None:
    losses, slopes = [], []
    for autocast in (None, "bfloat16"):
        bench = Bench.of(case, tmp_path, torch.float32, form=form, autocast=autocast)
        start = {name: t.float() for name, t in perturbed(bench.start()).items()}
        fit = bench.fit()
        fit.resume(at(start))
        losses.append(fit.held_out_loss())
        found = fit.gradients(bench.batches.batch(0))
        assert {t.dtype for t in found.values()} == {torch.float32}
        slopes.append(torch.cat([t.flatten() for t in found.values()]))
    assert 0 < abs(losses[1] / losses[0] - 1) < torch.finfo(torch.bfloat16).eps
    assert float(torch.cosine_similarity(slopes[0], slopes[1], dim=0)) > 0.99
