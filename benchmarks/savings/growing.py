"""A trained source grown in memory, by a closed form or by a fit."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import nn

from growth.apply import Grower
from growth.checkpoint import CheckpointReader
from growth.expand import grown_tensor
from growth.operators import parse_method
from growth.operators.operator import GrowthOperator
from growth.plan import GrowthPlan, make_plan
from growth.source import read_source
from growth.stock_weights import fill_module
from storage import Storage, Uri
from storage.folder import Folder
from worker.modules import build_module


def plan_of(
    source: Path, target: Mapping[str, int], method: dict[str, Any], seed: int
) -> tuple[GrowthPlan, CheckpointReader]:
    """The plan of growing the checkpoint in the folder `source`, and what reads its tensors."""
    folder = Folder(Storage(), Uri.parse(source.resolve().as_uri()))
    checkpoint = read_source(folder)
    plan = make_plan(checkpoint.config, checkpoint.tensors, target, parse_method(method), seed=seed)
    return plan, CheckpointReader(folder, checkpoint.tensors)


@torch.no_grad()
def grown_module(plan: GrowthPlan, operator: GrowthOperator, reader: CheckpointReader) -> nn.Module:
    """The stock module of the target, its weights grown by `operator`."""
    module = build_module(plan.target)
    grower = Grower(operator, plan.source, plan.target)
    tensors = {tensor.name: tensor for tensor in plan.tensors}
    fill_module(module, plan.target, tensors, lambda name: grown_tensor(plan, grower, reader, tensors[name]))
    return module
