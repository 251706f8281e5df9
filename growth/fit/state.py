"""Where a fit stands, as bytes: what it takes to go on as if it had never stopped."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from safetensors.torch import load, save
from torch import Tensor


@dataclass(frozen=True, slots=True)
class Point:
    """The losses of one step, nats per token; step 0 is the start, before any change."""

    step: int
    loss: float | None
    held_out_loss: float | None


@dataclass(slots=True)
class FitState:
    """The factors, the optimizer's moments, the losses so far and the place in the data after `step` steps."""

    step: int
    factors: dict[str, Tensor]
    moments: dict[str, Tensor] = field(default_factory=dict)
    """The optimizer's tensors as `<factor>/<name>`."""
    curve: list[Point] = field(default_factory=list)
    position: Mapping[str, Any] = field(default_factory=dict)
    """What the batches told of their place; plain JSON values."""

    def to_bytes(self) -> bytes:
        """The state as one safetensors file."""
        curve = [[p.step, _number(p.loss), _number(p.held_out_loss)] for p in self.curve]
        tensors = {f"factors/{name}": t for name, t in self.factors.items()}
        tensors |= {f"moments/{name}": t for name, t in self.moments.items()}
        tensors |= {"step": torch.tensor(self.step), "curve": torch.tensor(curve, dtype=torch.float64)}
        metadata = {"position": json.dumps(self.position)}
        return bytes(save({name: t.detach().cpu().contiguous() for name, t in tensors.items()}, metadata))

    @classmethod
    def from_bytes(cls, data: bytes) -> "FitState":
        """The state that `to_bytes` wrote."""
        tensors = load(data)
        parts: dict[str, dict[str, Tensor]] = {"factors": {}, "moments": {}}
        for name, tensor in tensors.items():
            part, _, rest = name.partition("/")
            if rest:
                parts[part][rest] = tensor
        curve = [Point(int(s), _known(loss), _known(held_out)) for s, loss, held_out in tensors["curve"].tolist()]
        return cls(int(tensors["step"]), parts["factors"], parts["moments"], curve, _position(data))


def _position(data: bytes) -> dict[str, Any]:
    length = int.from_bytes(data[:8], "little")
    return dict(json.loads(json.loads(data[8 : 8 + length])["__metadata__"]["position"]))


def _number(value: float | None) -> float:
    return float("nan") if value is None else value


def _known(value: float) -> float | None:
    return None if value != value else value
