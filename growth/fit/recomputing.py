"""Activation checkpointing by blocks that keeps what is dear: outputs of products with weights are not computed twice.

A block's activations are forgotten as it is left and computed again when its gradient is due (arXiv 1604.06174); the
outputs of its products with the source's weights and with the residual, which are most of its cost and less than half
of its memory, may be kept.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.autograd.function import FunctionCtx
from torch.utils.checkpoint import checkpoint

Checkpointing = Literal["none", "selective", "full"]


class _Kept:
    """The products of one pass through one block, in their order."""

    def __init__(self) -> None:
        self._outputs: list[Tensor] = []
        self._again: Iterator[Tensor] | None = None

    def begin(self) -> None:
        """A second pass takes what the first one has kept."""
        self._again = iter(self._outputs) if self._outputs else None

    def next(self) -> Tensor | None:
        return None if self._again is None else next(self._again)

    def keep(self, output: Tensor) -> None:
        if self._again is None:
            self._outputs.append(output)


class Products:
    """Products of activations with weights, kept where a block that is computed again asks for them."""

    def __init__(self) -> None:
        self._kept: _Kept | None = None

    def linear(self, units: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
        """`units @ weight.T + bias`, [n, in], [out, in] and [out] to [n, out]; under autocast in its dtype."""
        if torch.is_autocast_enabled(units.device.type):
            dtype = torch.get_autocast_dtype(units.device.type)
            units, weight = units.to(dtype), weight.to(dtype)
            bias = None if bias is None else bias.to(dtype)
        if self._kept is None:
            return nn.functional.linear(units, weight, bias)
        known = self._kept.next()
        output: Tensor = _Linear.apply(units, weight, bias, known)  # type: ignore[no-untyped-call]
        if known is None:
            self._kept.keep(output.detach())
        return output

    @contextmanager
    def keeping(self, kept: _Kept) -> Iterator[None]:
        """Inside, products go to `kept` or come from there."""
        before, self._kept = self._kept, kept
        kept.begin()
        try:
            yield
        finally:
            self._kept = before


class _Linear(torch.autograd.Function):
    """A product whose output may be known already."""

    @staticmethod
    def forward(ctx: FunctionCtx, units: Tensor, weight: Tensor, bias: Tensor | None, known: Tensor | None) -> Tensor:
        ctx.save_for_backward(units, weight)
        return nn.functional.linear(units, weight, bias) if known is None else known.view_as(known)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, Tensor | None, Tensor | None, None]:
        (gradient,) = gradients
        units, weight = ctx.saved_tensors
        by_units = gradient @ weight if ctx.needs_input_grad[0] else None
        by_weight = gradient.T @ units if ctx.needs_input_grad[1] else None
        by_bias = gradient.sum(0) if ctx.needs_input_grad[2] else None
        return by_units, by_weight, by_bias, None


def recompute(block: nn.Module, products: Products, checkpointing: Checkpointing) -> None:
    """Make `block` forget its activations on the way forward; `products` are those of the linear layers in it."""
    if checkpointing == "none":
        return
    forward: Callable[..., Any] = block.forward

    def remembered(*args: Any, **kwargs: Any) -> Any:
        if not torch.is_grad_enabled():
            return forward(*args, **kwargs)
        if checkpointing == "full":
            return checkpoint(forward, *args, use_reentrant=False, preserve_rng_state=False, **kwargs)
        kept = _Kept()

        def passed(*args: Any, **kwargs: Any) -> Any:
            with products.keeping(kept):
                return forward(*args, **kwargs)

        return checkpoint(passed, *args, use_reentrant=False, preserve_rng_state=False, **kwargs)

    block.forward = remembered
