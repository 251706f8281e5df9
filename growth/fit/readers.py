"""What a stock module does with each of its parameters, as far as types tell: multiply by it, look it up, or else."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from torch import nn

from growth.axes import Role
from growth.matching import parameter_names
from growth.plan import GrowthPlan, TargetTensor

_TRANSPOSED = "Conv1D"
"""Of transformers, which this package does not import: a linear layer whose weight lies [in, out]."""
_BLOCK = re.compile(r".*?\.\d+(?=\.)")


@dataclass(frozen=True, slots=True)
class Reader:
    """A module that multiplies by a weight, or looks up its rows."""

    name: str
    module: nn.Module

    @property
    def looks_up(self) -> bool:
        return isinstance(self.module, nn.Embedding)

    @property
    def input_dim(self) -> int:
        """Which dimension of the stored weight meets the input."""
        return 0 if type(self.module).__name__ == _TRANSPOSED else 1


@dataclass(frozen=True, slots=True)
class ModuleWeight:
    """A parameter of the module, and all that read it."""

    tensor: TargetTensor
    names: tuple[str, ...]
    """In the module."""
    all_readers: list[Reader] | None
    mixed_once: bool
    """Whether all its rows are mixed by the same depth matrix."""

    @property
    def name(self) -> str:
        return self.names[0]

    @property
    def readers(self) -> list[Reader]:
        """What reads it, where it can be applied as factors; else nothing."""
        row = self.tensor.parameter
        applicable = len(row.dims) == 2 and (self.mixed_once or row.role is not Role.LINEAR)
        return (self.all_readers or []) if applicable else []


def weights_of(module: nn.Module, plan: GrowthPlan) -> list[ModuleWeight]:
    """Every parameter of the module with its tensor in the plan, and what reads it."""
    planned = {tensor.name: tensor for tensor in plan.tensors}
    parameters = dict(module.named_parameters(remove_duplicate=False))
    known = parameter_names(plan.target, parameters)
    named: dict[int, list[str]] = {}
    for name, parameter in parameters.items():
        named.setdefault(id(parameter), []).append(name)
    missing = [names[0] for names in named.values() if not any(known[name] in planned for name in names)]
    assert not missing, f"the module has parameters that the plan lacks: {missing[:3]}"
    weights = []
    for names in named.values():
        tensor = next(planned[known[name]] for name in names if known[name] in planned)
        weights.append(ModuleWeight(tensor, tuple(names), _readers(module, names), plan.operator.next_depth is None))
    return weights


def _readers(module: nn.Module, names: list[str]) -> list[Reader] | None:
    """The modules that read a matrix; None where one does something else with it than multiply or look up."""
    readers = []
    for name in names:
        owner, _, attribute = name.rpartition(".")
        reader = module.get_submodule(owner)
        plain = type(reader) in (nn.Linear, nn.Embedding) or type(reader).__name__ == _TRANSPOSED
        if attribute != "weight" or not plain:
            return None
        readers.append(Reader(owner, reader))
    return readers


def bias_of(weight: ModuleWeight, weights: Sequence[ModuleWeight]) -> ModuleWeight | None:
    """The bias that belongs to a weight alone and grows as its rows do."""
    row, name = weight.tensor.parameter, weight.tensor.name.removesuffix("weight") + "bias"
    found = next((other for other in weights if other.tensor.name == name), None)
    if found is None or len(weight.readers) != 1 or len(found.names) != 1:
        return None
    rows = row.dims[1 - weight.readers[0].input_dim]
    alike = found.tensor.parameter.dims == (rows,) and row.role is Role.LINEAR
    return found if alike else None


def owner_of(module: nn.Module, name: str) -> tuple[nn.Module, str]:
    owner, _, attribute = name.rpartition(".")
    return module.get_submodule(owner), attribute


def layer_modules(module: nn.Module, plan: GrowthPlan) -> Iterator[nn.Module]:
    """The modules of the layers."""
    layered = {tensor.name for tensor in plan.tensors if tensor.layer is not None}
    known = parameter_names(plan.target, dict(module.named_parameters()))
    found = (_BLOCK.match(name) for name, stored in known.items() if stored in layered)
    for name in dict.fromkeys(match[0] for match in found if match):
        yield module.get_submodule(name)
