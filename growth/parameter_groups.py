"""A stock module under muP: its parameters in groups for `torch.optim`, and its initial weights."""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from growth.axes import Parameter, Role
from growth.config import ModelConfig
from growth.matching import held_tensors
from growth.operators.operator import Noise, NoiseKind
from growth.residual import initial_rows
from growth.transfer_plan import Multipliers, TransferPlan


def param_groups(
    module: nn.Module, plan: TransferPlan, *, lr: float, weight_decay: float = 0.0, eps: float = 1e-8
) -> list[dict[str, Any]]:
    """Groups of the parameters of `module`, the stock module of the plan's target, for `torch.optim`.

    `lr`, `weight_decay` and `eps` are the base model's. A parameter that is tied stands in one group; those that need
    no gradient in none. Raises ValueError for a parameter that the target does not have.
    """
    groups: dict[Multipliers, list[nn.Parameter]] = {}
    for parameter, tensor in named_tensors(module, plan.target):
        if parameter.requires_grad:
            groups.setdefault(plan.parameters[tensor], []).append(parameter)
    return [
        {"params": parameters, "lr": lr * known.learning_rate, "weight_decay": weight_decay * known.weight_decay}
        | ({} if plan.optimizer == "sgd" else {"eps": eps * known.epsilon})
        for known, parameters in groups.items()
    ]


@torch.no_grad()
def initialise(module: nn.Module, plan: TransferPlan, seed: int) -> None:
    """Draws every weight of `module`, a stock module of `plan.target_config()`, afresh as muP asks.

    What the family's own initialisation draws with the base's spread has the plan's multiple of it; the numbers depend
    on `seed` and on the tensor's name alone.
    """
    rows = _rows(plan.target)
    base_rows = {row.name: row for row in plan.base.architecture.table(plan.base)}
    noise = Noise(NoiseKind.INITIAL, seed, order=())
    for parameter, tensor in named_tensors(module, plan.target):
        row, layer = rows[tensor]
        factor = plan.parameters[tensor].init_std
        spread = base_rows.get(row.name, row).init_std * factor
        shape = tuple(parameter.shape)
        drawn = initial_rows(noise, plan.base, replace(row, init_std=spread), layer, shape).rows(0, shape[0])
        parameter.copy_(_gain(drawn, factor, plan.base) if row.role is Role.NORM_GAIN else drawn)


def _gain(stored: Tensor, factor: float, base: ModelConfig) -> Tensor:
    offset = base.norm.gain_offset
    return (stored + offset) * factor - offset


def named_tensors(module: nn.Module, config: ModelConfig) -> Iterator[tuple[nn.Parameter, str]]:
    """Every parameter, and the name in the table of its tensor; of several that it holds together the first."""
    parameters = dict(module.named_parameters(remove_duplicate=False))
    held, rows = held_tensors(config, parameters), _rows(config)
    names: dict[nn.Parameter, list[str]] = {}
    for name, parameter in parameters.items():
        names.setdefault(parameter, []).append(name)
    for parameter, own in names.items():
        found = next((tensor for name in own for tensor in held[name] if tensor in rows), None)
        if found is None:
            raise ValueError(
                f"{own[0]} is no parameter of a {config.model_class or config.architecture.model_type}; give the stock "
                "module of the plan's target."
            )
        yield parameter, found


def _rows(config: ModelConfig) -> Mapping[str, tuple[Parameter, int | None]]:
    """The row and the layer of each tensor."""
    return {
        row.tensor_name(layer): (row, layer)
        for row in config.architecture.table(config)
        for layer in row.layers(config.sizes.num_hidden_layers)
    }
