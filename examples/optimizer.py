"""AdamW for a grown model, with the parameter groups that its `training.json` asks for. Needs no code of ours."""

import json
from pathlib import Path
from typing import Any

import torch
from torch import nn

KNOWN: dict[str, Any] = {"learning_rate": 1e-3, "weight_decay": 0.1, "betas": (0.9, 0.95), "epsilon": 1e-8}
"""What the small model was trained with (examples/small_model.py), where the file does not tell it."""


def grown_optimizer(model: nn.Module, folder: Path) -> torch.optim.AdamW:
    """An optimizer for the grown `model`, whose checkpoint is in `folder`."""
    training = json.loads((folder / "training.json").read_text())
    known: dict[str, Any] = training["hyperparameters"] or KNOWN
    named, groups = dict(model.named_parameters()), []
    for group in training["groups"]:
        groups.append(
            {
                "params": [named.pop(name) for name in group["parameters"] if name in named],
                "lr": known["learning_rate"] * group["learning_rate"],
                "weight_decay": known["weight_decay"] * group["weight_decay"],
                "eps": known["epsilon"] * group["epsilon"],
            }
        )
    assert not named, f"these have no group: {', '.join(named)}"
    return torch.optim.AdamW(groups, lr=known["learning_rate"], betas=tuple(known["betas"]))
