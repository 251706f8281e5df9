"""What cheaper options lose: the held-out loss of fits from the same start on the same batches of real text."""

import sysconfig
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from benchmarks.fit_cost.cases import Growth, Sizes, plain_training, stock
from growth.fit import IGNORED_LABEL, Batch
from storage import Uri

BYTES = 256
MASK_ID = BYTES
VOCABULARY = BYTES + 1
MASKED_SHARE = 0.15
DENSE: Mapping[str, Any] = {"form": "materialised"}
RESIDUALS: Mapping[str, Mapping[str, Any]] = {
    "residual in 4 groups": {"residual_groups": 4},
    "residual in 1 group": {"residual_groups": 1},
    "no residual": {"residual": False},
}
"""Each is held against the dense fit with the same residual."""
WITH_EACH: Mapping[str, Mapping[str, Any]] = {
    "full rank": {},
    "rank 64": {"rank": 64},
}
WITH_FIRST: Mapping[str, Mapping[str, Any]] = {
    "rank 128": {"rank": 128},
    "rank 32": {"rank": 32},
    "rank 16": {"rank": 16},
    "rank 64, accumulation 4, checkpointing full": {
        "rank": 64,
        "gradient_accumulation": 4,
        "activation_checkpointing": "full",
    },
}


@dataclass(frozen=True)
class Effort:
    """How long sources are trained and fits run."""

    training_steps: int = 600
    fit_steps: int = 100
    training_batch: int = 16
    held_out: int = 32
    residuals: tuple[str, ...] = tuple(RESIDUALS)


@dataclass(frozen=True)
class Text:
    """Bytes of Python's own library in a fixed order; a masked model is asked for 15 % of them."""

    masked: bool
    batch_size: int
    held_out_rows: int
    tokens: int = 128

    @cached_property
    def rows(self) -> Tensor:
        """Training and held-out sequences [rows, tokens], the latter last; files are told apart by nothing."""
        files = sorted(Path(sysconfig.get_path("stdlib")).glob("*.py"))
        data = torch.frombuffer(bytearray(b"".join(file.read_bytes() for file in files)), dtype=torch.uint8)
        rows = data[: len(data) // self.tokens * self.tokens].view(-1, self.tokens).long()
        return rows[torch.randperm(len(rows), generator=torch.Generator().manual_seed(0))]

    def batch(self, step: int) -> Batch:
        generator = torch.Generator().manual_seed(step)
        chosen = torch.randint(0, len(self.rows) - self.held_out_rows, (self.batch_size,), generator=generator)
        return self._example(self.rows[chosen], generator)

    def held_out(self) -> list[Batch]:
        return [self._example(self.rows[-self.held_out_rows :], torch.Generator().manual_seed(1_000_000))]

    def _example(self, ids: Tensor, generator: torch.Generator) -> Batch:
        if not self.masked:
            return {"input_ids": ids, "labels": ids}
        hidden = torch.rand(ids.shape, generator=generator) < MASKED_SHARE
        return {
            "input_ids": ids.masked_fill(hidden, MASK_ID),
            "labels": ids.masked_fill(~hidden, IGNORED_LABEL),
        }


SOURCES: Mapping[str, Sizes] = {
    "BERT 2L/128 -> 4L/192": Sizes("bert", 128, 512, 2, 4, VOCABULARY),
    "Llama 2L/128 -> 4L/192": Sizes("llama", 128, 352, 2, 4, VOCABULARY),
}
TARGET: Mapping[str, Any] = {"hidden_size": 192, "num_hidden_layers": 4}


def measure(told: str, sizes: Sizes, folder: Path, effort: Effort) -> dict[str, Any]:
    """Held-out losses, nats per byte, of every set of options and how far above the dense fit each ends."""
    source_loss = _train(sizes, folder, effort)
    growth = Growth(Uri.parse(folder.resolve().as_uri()), TARGET)
    text = Text(sizes.family == "bert", 4, effort.held_out)
    found: dict[str, Any] = {}
    for residual in effort.residuals:
        found[residual] = _residual(growth, text, residual, effort)
    return {"case": f"{told}, 4 x 128 bytes", "source_held_out_loss": source_loss, "residuals": found}


def _train(sizes: Sizes, folder: Path, effort: Effort) -> float:
    torch.manual_seed(0)
    model = stock(sizes)
    text = Text(sizes.family == "bert", effort.training_batch, effort.held_out)
    step = plain_training(model, text, rate=1e-3)
    for _ in range(effort.training_steps):
        step()
    model.save_pretrained(folder)
    with torch.no_grad():
        loss: float = model(**text.held_out()[0]).loss.item()
    return round(loss, 4)


def _residual(growth: Growth, text: Text, residual: str, effort: Effort) -> dict[str, Any]:
    sets: dict[str, Mapping[str, Any]] = {"dense, materialised": DENSE, **WITH_EACH}
    if residual == next(iter(RESIDUALS)):
        sets |= WITH_FIRST
    curves = {name: _curve(growth, text, {**RESIDUALS[residual], **given}, effort) for name, given in sets.items()}
    dense = curves["dense, materialised"][-1]
    return {name: {"losses": curve, "gap": round(curve[-1] - dense, 4)} for name, curve in curves.items()}


def _curve(growth: Growth, text: Text, options: Mapping[str, Any], effort: Effort) -> list[float]:
    """Held-out losses at the start, half-way and at the end."""
    steps = effort.fit_steps
    fit = growth.fit({**options, "batch_size": 4, "steps": steps, "held_out_every": max(1, steps // 2)}, text)
    outcome = fit.run(lambda _: None, lambda _: None, float("inf"))
    return [round(point.held_out_loss, 4) for point in outcome.curve if point.held_out_loss is not None]
