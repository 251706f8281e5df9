"""The learning rate over the steps of a fit: warm-up, then decay inside the budget."""

from math import cos, pi

from growth.operators.ligo import Ligo


def rate_factor(options: Ligo, step: int) -> float:
    """The share of the peak learning rate at step `step` (from 0)."""
    warmup = round(options.warmup_fraction * options.steps)
    if step < warmup:
        return (step + 1) / (warmup + 1)
    left = (options.steps - step) / (options.steps - warmup)
    if options.decay == "none":
        return 1.0
    return left if options.decay == "linear" else (1 + cos(pi * (1 - left))) / 2
