"""The processes that share one fit: each takes its part of every batch, and all come to the same factors.

Data parallel, with the source's weights in every process or spread over all of them: then a weight is put together for
the time of its use (ZeRO stage 3, arXiv 1910.02054), after its layers were mixed, so that what travels is one layer.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor
from torch.autograd.function import FunctionCtx


class PeerLost(RuntimeError):
    """Another process of the fit is gone, or can't be reached."""


@contextmanager
def _together() -> Iterator[None]:
    """What the backends raise where a peer is gone has no type of its own."""
    try:
        yield
    except RuntimeError as error:
        raise PeerLost(str(error)) from error


class Ranks:
    """This process among those of the default process group; the only one where there is none."""

    def __init__(self, *, spread: bool = False) -> None:
        """`spread`: each process holds its part of the source's weights."""
        together = dist.is_available() and dist.is_initialized()
        self.rank, self.size = (dist.get_rank(), dist.get_world_size()) if together else (0, 1)
        self.spread = spread and self.size > 1

    def share(self, batch: Mapping[str, Tensor], parts: int) -> list[dict[str, Tensor]]:
        """This process' examples of a batch, in at most `parts` parts; every process has as many parts."""
        examples = len(next(iter(batch.values())))
        assert examples >= self.size
        pieces = self.size * max(1, min(parts, examples // self.size))
        split = {name: tensor.tensor_split(pieces)[self.rank :: self.size] for name, tensor in batch.items()}
        return [dict(zip(split, values, strict=True)) for values in zip(*split.values(), strict=True)]

    def sum(self, tensors: Sequence[Tensor]) -> None:
        """Adds up each of the tensors over all processes, in place. Raises PeerLost, as everything here may."""
        if self.size == 1:
            return
        flat = torch.cat([tensor.flatten() for tensor in tensors])
        with _together():
            dist.all_reduce(flat)
        for tensor, summed in zip(tensors, torch.split(flat, [tensor.numel() for tensor in tensors]), strict=True):
            tensor.copy_(summed.view_as(tensor))

    def part(self, stack: Tensor) -> Tensor:
        """This process' part [..., n] of the last dimension, padded to equal lengths."""
        if not self.spread:
            return stack
        length = -(-stack.shape[-1] // self.size)
        padded = torch.nn.functional.pad(stack, (0, length * self.size - stack.shape[-1]))
        return padded[..., self.rank * length : (self.rank + 1) * length].clone()

    def whole(self, part: Tensor, shape: torch.Size) -> Tensor:
        """The tensor of which every process has a `part`; its gradient is summed over all and comes back in parts."""
        if not self.spread:
            return part.view(shape)
        gathered: Tensor = _Gather.apply(part, self.size)  # type: ignore[no-untyped-call]
        return gathered[: shape.numel()].view(shape)


class _Gather(torch.autograd.Function):
    @staticmethod
    def forward(ctx: FunctionCtx, part: Tensor, size: int) -> Tensor:
        whole = part.new_empty(size * part.numel())
        with _together():
            dist.all_gather(list(whole.chunk(size)), part.contiguous())
        ctx.size = size  # type: ignore[attr-defined]
        return whole

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        (gradient,) = gradients
        size = ctx.size
        mine = gradient.new_empty(gradient.numel() // size)
        with _together():
            dist.reduce_scatter(mine, list(gradient.contiguous().chunk(size)))
        return mine, None
