"""One training in plain torch, its cost in FLOPs, and the held-out loss."""

from math import isfinite
from typing import Any

import torch
from torch import nn
from transformers.pytorch_utils import Conv1D

from benchmarks.savings.recipe import Recipe
from growth.fit import Batches, mean_loss

BETAS = (0.9, 0.95)
WEIGHT_DECAY = 0.1
GRADIENT_CLIP = 1.0


def train(
    module: nn.Module,
    groups: list[dict[str, Any]],
    batches: Batches,
    steps: int,
    warmup: int,
    *,
    decays: bool,
    clip: float = GRADIENT_CLIP,
) -> None:
    """AdamW for so many steps: warm-up to the groups' own rates, then linear decay to zero, or none.

    `clip` bounds the gradient's norm.
    """
    optimizer = torch.optim.AdamW(groups, betas=BETAS)
    peaks = [group["lr"] for group in optimizer.param_groups]
    module.train()
    for step in range(steps):
        left = (steps - step) / (steps - warmup) if decays else 1.0
        for group, peak in zip(optimizer.param_groups, peaks, strict=True):
            group["lr"] = peak * min((step + 1) / (warmup + 1), left, 1.0)
        loss = _loss(module, dict(batches.batch(step)))
        loss.backward()
        nn.utils.clip_grad_norm_(module.parameters(), clip)
        optimizer.step()
        optimizer.zero_grad()


@torch.no_grad()
def held_out_loss(module: nn.Module, recipe: Recipe, batches: Batches) -> float | None:
    """Nats per byte, masked byte or image; None where it is not finite."""
    module.eval()
    shifted = "CausalLM" in recipe.model_class or "LMHead" in recipe.model_class
    loss = mean_loss(lambda batch: module(**batch), batches.held_out(), shifted=shifted)
    return round(loss, 5) if isfinite(loss) else None


def step_flops(module: nn.Module, recipe: Recipe) -> float:
    """FLOPs of one training step: 6 for each number of a matrix and token, 12 for each score, unit and token.

    The head's matrix counts, tied or not; embeddings are looked up. Scores are counted as if every token saw all.
    """
    kinds = (nn.Linear, nn.Conv2d, Conv1D)
    matrices = sum(part.weight.numel() for part in module.modules() if isinstance(part, kinds))
    return float(6 * matrices * recipe.batch_size * recipe.length) + score_flops(module, recipe)


def score_flops(module: nn.Module, recipe: Recipe) -> float:
    """Those of them that are spent on attention scores."""
    config: Any = module.config
    scores = config.num_hidden_layers * config.hidden_size * recipe.length
    return float(12 * scores * recipe.batch_size * recipe.length)


def _loss(module: nn.Module, batch: dict[str, torch.Tensor]) -> Any:
    return module(**batch).loss
