"""What a transfer of hyper-parameters comes to: numbers for each tensor, and their file `training.json`.

The file needs no code of ours: its groups list names of parameters, as checkpoints have them and as stock modules do,
with the plain numbers by which they multiply the hyper-parameters of the base. docs/mutransfer.md describes it.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Literal, get_args

from growth.config import ModelConfig
from growth.errors import ImpossibleTarget
from growth.matching import module_name

Optimizer = Literal["adamw", "adam", "sgd"]
OPTIMIZERS: tuple[Optimizer, ...] = get_args(Optimizer)
TRAINING_FILE = "training.json"
FORMAT = 1


@dataclass(frozen=True, slots=True)
class Multipliers:
    """What one tensor takes of the base's hyper-parameters."""

    learning_rate: float = 1.0
    weight_decay: float = 1.0
    """0 where the tensor is not decayed."""
    epsilon: float = 1.0
    """Of Adam's; SGD has none."""
    init_std: float = 1.0
    """Of the standard deviation that the base's tensor starts with; of a norm's gain, of its value."""


@dataclass(frozen=True, slots=True)
class ForwardFactor:
    """A factor that muP's forward pass has beside the stock one's, and what carries it."""

    name: Literal["readout", "residual", "attention", "embedding"]
    value: float
    config_key: str = ""
    """The entry of the config that carries it; empty where tensors do."""
    parameters: tuple[str, ...] = ()
    """The rows of the table whose tensors are multiplied by it."""


@dataclass(frozen=True, slots=True)
class Hyperparameters:
    """What the base was trained with, as `torch.optim` names and defaults it."""

    learning_rate: float
    weight_decay: float = 0.0
    betas: tuple[float, float] = (0.9, 0.999)
    epsilon: float = 1e-8


@dataclass(frozen=True, slots=True)
class TransferPlan:
    """How to train a target with a base's hyper-parameters."""

    base: ModelConfig
    target: ModelConfig
    optimizer: Optimizer
    parameters: Mapping[str, Multipliers]
    """Of each tensor that the target may have, by its name in a checkpoint; a tied one stands there once."""
    factors: tuple[ForwardFactor, ...] = ()
    config: Mapping[str, float] = field(default_factory=dict)
    """Entries that the target's config.json needs, beside its sizes, when it is trained from the start."""
    notes: tuple[str, ...] = ()

    def target_config(self) -> ModelConfig:
        """The target's config with the entries of `config`: the model to initialise and train from the start."""
        return replace(self.target, raw={**self.target.raw, **self.config})

    def to_json(self, hyperparameters: Hyperparameters | None = None) -> dict[str, Any]:
        """The content of `training.json`, as plain JSON values.

        `hyperparameters` are those of the base, where they are known. Where the target's stock module has another name
        for a parameter than checkpoints have, both stand there.
        """
        groups: dict[Multipliers, dict[str, None]] = {}
        for name, known in self.parameters.items():
            groups.setdefault(known, {}).update(dict.fromkeys([name, module_name(self.target, name)]))
        return {
            "format": FORMAT,
            "optimizer": self.optimizer,
            "hyperparameters": None if hyperparameters is None else asdict(hyperparameters),
            "groups": [{**asdict(known), "parameters": list(names)} for known, names in groups.items()],
            "factors": [asdict(factor) for factor in self.factors],
            "config": dict(self.config),
            "notes": list(self.notes),
            "base": dict(self.base.raw),
            "target": dict(self.target.raw),
        }

    @staticmethod
    def refused(reason: ImpossibleTarget) -> dict[str, Any]:
        """The content of `training.json` where there is no plan."""
        return {"format": FORMAT, "refused": " ".join(filter(None, (str(reason), reason.hint))), "groups": []}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> "TransferPlan":
        """The plan of a `training.json`. Raises ValueError where it is of another format, or there is none in it."""
        if data.get("format") != FORMAT:
            raise ValueError(f"This is no {TRAINING_FILE} of format {FORMAT}: its format is {data.get('format')!r}.")
        if "refused" in data:
            raise ValueError(data["refused"])
        parameters = {
            name: Multipliers(**{key: value for key, value in group.items() if key != "parameters"})
            for group in data["groups"]
            for name in group["parameters"]
        }
        return cls(
            ModelConfig.from_dict(data["base"]),
            ModelConfig.from_dict(data["target"]),
            data["optimizer"],
            parameters,
            tuple(ForwardFactor(**{**factor, "parameters": tuple(factor["parameters"])}) for factor in data["factors"]),
            data["config"],
            tuple(data["notes"]),
        )
