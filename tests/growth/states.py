"""AdamW states for the tests: their headers alone, and whole ones beside a tiny checkpoint."""

from math import prod

import torch
from torch import Tensor

from growth.header import TensorInfo
from growth.optimizer_layout import KINDS, MOMENTS, STEP
from growth.plan import GrowthPlan

STEPS = 7


def state_headers(plan: GrowthPlan) -> dict[str, TensorInfo]:
    """The headers of a whole state of the plan's source."""
    shapes = {
        f"{info.name}.{kind}": () if kind == STEP else info.shape
        for info in plan.source_tensors.values()
        for kind in KINDS
    }
    return {
        name: TensorInfo(name, "optimizer.safetensors", "F32", shape, 0, 4 * prod(shape))
        for name, shape in shapes.items()
    }


def drawn_state(plan: GrowthPlan) -> dict[str, Tensor]:
    """A whole state of the plan's source, its moments random and seeded."""
    generator = torch.Generator().manual_seed(0)
    state: dict[str, Tensor] = {}
    for info in plan.source_tensors.values():
        first, second = (torch.randn(info.shape, generator=generator) for _ in MOMENTS)
        state |= {f"{info.name}.{MOMENTS[0]}": first, f"{info.name}.{MOMENTS[1]}": second**2}
        state[f"{info.name}.{STEP}"] = torch.tensor(float(STEPS))
    return state
