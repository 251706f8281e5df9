"""The weights of a stock module: filled in from a checkpoint's tensors, or told as a checkpoint holds them.

Stock modules are those of transformers, which is not needed here: parameters go by their names alone.
"""

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, nn

from growth.config import ModelConfig
from growth.matching import fused_names, parameter_names


def weightless(module: nn.Module) -> nn.Module:
    """The module with its parameters on the meta device, ties kept: for whoever computes with other weights."""
    known: dict[nn.Parameter, nn.Parameter] = {}
    for part in module.modules():
        for name, parameter in part.named_parameters(recurse=False):
            bare = known.setdefault(parameter, nn.Parameter(parameter.to("meta"), requires_grad=False))
            part.register_parameter(name, bare)
    return module


def own_head(module: Any) -> None:
    """A tensor of its own for the head, where transformers ties it until it has seen that the checkpoint has both."""
    head: object = module.get_output_embeddings()
    embedding: Any = module.get_input_embeddings()
    if isinstance(head, nn.Linear) and head.weight is embedding.weight:
        head.weight = nn.Parameter(head.weight.detach().clone())


def fill_module(module: nn.Module, config: ModelConfig, names: Iterable[str], read: Callable[[str], Tensor]) -> None:
    """Copy the tensors `names`, which `read` gives, into `module`; those of other heads are left out.

    What the checkpoint may lack, such as a pooler, is zero where it does.
    """
    stored = set(names)
    optional = {row.name for row in config.architecture.table(config) if row.optional}
    parameters = dict(module.named_parameters(remove_duplicate=False))
    known = parameter_names(config, parameters)
    filled = {parameters[name].data_ptr() for name in parameters if known[name] in stored}
    for name, parameter in parameters.items():
        if fused := fused_names(config, known[name]):
            for expert, weights in enumerate(parameter.data):
                weights.copy_(torch.cat([read(part.format(expert=expert)) for part in fused]))
        elif known[name] in stored:
            parameter.data.copy_(read(known[name]))
        elif parameter.data_ptr() not in filled:
            assert known[name] in optional, f"no tensor for {name}"
            parameter.data.zero_()


def stored_tensors(module: nn.Module, config: ModelConfig) -> dict[str, Tensor]:
    """The module's weights as a checkpoint holds them: a tied tensor once, every expert's tensors by themselves."""
    parameters = dict(module.named_parameters())
    known = parameter_names(config, parameters)
    stored: dict[str, Tensor] = {}
    for name, parameter in parameters.items():
        if fused := fused_names(config, known[name]):
            for expert, weights in enumerate(parameter.detach()):
                parts = weights.chunk(len(fused))
                stored |= {part.format(expert=expert): rows for part, rows in zip(fused, parts, strict=True)}
        else:
            stored[known[name]] = parameter.detach()
    return stored
