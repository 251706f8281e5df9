"""A stock target module that computes through the operator: its layers hold no weights of their own."""

import copy
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

from growth.apply import side_maps
from growth.axes import Role, axis_sizes
from growth.fit.activations import GrownDim
from growth.fit.form import Form, Matrix, WeightCost, operations
from growth.fit.recomputing import Checkpointing, Products, recompute
from growth.fit.weights import SourceWeights, StepWeights
from growth.matching import parameter_names
from growth.operators.dense import DenseDepth
from growth.operators.operator import GrowthOperator
from growth.plan import GrowthPlan, TargetTensor

_TRANSPOSED = "Conv1D"
"""Of transformers, which this package does not import: a linear layer whose weight lies [in, out]."""
_BLOCK = re.compile(r".*?\.\d+(?=\.)")


@dataclass(frozen=True, slots=True)
class _Reader:
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
class _Random:
    """The part of a residual outside of which it is zero."""

    row: int
    column: int
    entries: Tensor
    """[rows, columns]"""


@dataclass(frozen=True, slots=True)
class _Weight:
    """A parameter of the module, and all that read it."""

    tensor: TargetTensor
    names: tuple[str, ...]
    """In the module."""
    all_readers: list[_Reader] | None
    mixed_once: bool
    """Whether all its rows are mixed by the same depth matrix."""

    @property
    def name(self) -> str:
        return self.names[0]

    @property
    def readers(self) -> list[_Reader]:
        """What reads it, where it can be applied as factors; else nothing."""
        row = self.tensor.parameter
        applicable = len(row.dims) == 2 and (self.mixed_once or row.role is not Role.LINEAR)
        return (self.all_readers or []) if applicable else []


class GrownModule:
    """The target module of a plan, run with the weights that an operator makes of the source's.

    Matrices are applied as factors or written out, whichever takes fewer operations (`growth.fit.form`).
    """

    def __init__(
        self,
        plan: GrowthPlan,
        module: nn.Module,
        source: SourceWeights,
        operator: GrowthOperator,
        *,
        tokens: int,
        form: Form = "auto",
        checkpointing: Checkpointing = "selective",
    ) -> None:
        """`tokens` are those of one step. `module` stays as it is: its weights, never read, may be on the meta device.

        It runs without dropout.
        """
        self._plan, self._source = plan, source
        self._sizes = axis_sizes(plan.source.sizes), axis_sizes(plan.target.sizes)
        shared = {id(parameter): parameter for parameter in module.parameters()}
        self.module = copy.deepcopy(module, shared).eval()
        self._products = Products()
        self._step: StepWeights | None = None
        self._dims: dict[tuple[str, int], GrownDim] = {}
        self._contracted: tuple[Tensor, tuple[int, ...], Tensor] | None = None
        self._random: dict[str, _Random | None] = {}
        weights = _weights_of(self.module, plan)
        self.costs = {w.tensor.name: self._cost(w, operator, tokens) for w in weights if w.readers}
        self.forms = {name: cost.cheapest(form) for name, cost in self.costs.items()}
        factored = [weight for weight in weights if self.forms.get(weight.tensor.name) == "factored"]
        self._mixed = dict.fromkeys(weight.tensor.parameter for weight in factored)
        self._written = {w.name: w.tensor for w in weights if w not in factored}
        for block in _blocks(self.module, plan):
            recompute(block, self._products, checkpointing)
        for weight in factored:
            for reader in weight.readers:
                self.module.set_submodule(reader.name, _Grown(self, weight.tensor, reader))
        self._owners = {w.name: [_owner(self.module, name) for name in w.names] for w in weights if w not in factored}

    @property
    def flops_per_step(self) -> int:
        """FLOPs of the products with matrices in one step, forward and back."""
        return operations(self.costs, self.forms)

    def begin(self, operator: GrowthOperator) -> StepWeights:
        """The weights of a step by `operator`, which every run uses until the next step begins."""
        self._step = StepWeights(self._plan, operator, self._source, self._mixed, self._written)
        self._dims = {}
        for name, owners in self._owners.items():
            for owner, attribute in owners:
                # Not for the length of one call: blocks run again on the way back.
                owner._parameters[attribute] = self._step.written[name]  # type: ignore[assignment]
        return self._step

    def run(self, batch: Mapping[str, Tensor]) -> Any:
        """The module's output for one batch."""
        self._contracted = None
        return self.module(**batch)

    def linear(self, tensor: TargetTensor, reader: _Reader, inputs: Tensor, bias: Tensor | None) -> Tensor:
        """What the linear layer `reader` with the grown weight `tensor` makes of `inputs` [..., in]."""
        step, into = self._current(), reader.input_dim
        flat = inputs.flatten(0, -2)
        weight = step.mixed(tensor.parameter, tensor.layer)
        units = self._products.linear(self._contract(inputs, flat, tensor, into), weight if into else weight.T)
        outputs = self._dim(tensor, 1 - into).expanded(units, self._added(flat, tensor, into))
        scale = step.grower.scale(tensor.parameter)
        outputs = outputs if scale == 1.0 else outputs * scale
        outputs = outputs if bias is None else outputs + bias.to(outputs.dtype)
        return outputs.view(*inputs.shape[:-1], outputs.shape[-1])

    def lookup(self, tensor: TargetTensor, indices: Tensor) -> Tensor:
        """The rows `indices` of the grown table `tensor`."""
        step, flat = self._current(), indices.flatten()
        units = nn.functional.embedding(flat, step.mixed(tensor.parameter, tensor.layer))
        block = self._block(tensor)
        added = None if block is None else (block.column, nn.functional.embedding(flat, block.entries))
        outputs = self._dim(tensor, 1).expanded(units, added) * step.grower.scale(tensor.parameter)
        return outputs.view(*indices.shape, outputs.shape[-1])

    def _current(self) -> StepWeights:
        assert self._step is not None
        return self._step

    def _contract(self, inputs: Tensor, flat: Tensor, tensor: TargetTensor, into: int) -> Tensor:
        """What queries, keys and values read of the same hidden states is computed once."""
        dim = self._dim(tensor, into)
        if not dim.grows:
            return flat
        if self._contracted is None or self._contracted[0] is not inputs or self._contracted[1] != dim.identity:
            self._contracted = (inputs, dim.identity, dim.contracted(flat))
        return self._contracted[2]

    def _added(self, flat: Tensor, tensor: TargetTensor, into: int) -> tuple[int, Tensor] | None:
        """The first output unit that the residual makes, and what it makes of it and of those after it."""
        block = self._block(tensor)
        if block is None:
            return None
        if into:
            return block.row, self._products.linear(_part(flat, block.column, block.entries.shape[1]), block.entries)
        return block.column, self._products.linear(_part(flat, block.row, len(block.entries)), block.entries.T)

    def _block(self, tensor: TargetTensor) -> _Random | None:
        if tensor.name not in self._random:
            self._random[tensor.name] = _random_block(self._source.residual(tensor.parameter, tensor.layer))
        return self._random[tensor.name]

    def _dim(self, tensor: TargetTensor, position: int) -> GrownDim:
        key = (tensor.name, position)
        if key not in self._dims:
            self._dims[key] = self._grown_dim(self._current().operator, tensor, position)
        return self._dims[key]

    def _grown_dim(self, operator: GrowthOperator, tensor: TargetTensor, position: int) -> GrownDim:
        row, dim = tensor.parameter, tensor.parameter.dims[position]
        map_of = side_maps(lambda axis: operator.axis_map(axis, row, tensor.layer), row.role, dim)
        return GrownDim(dim, map_of, *self._sizes)

    def _cost(self, weight: _Weight, operator: GrowthOperator, tokens: int) -> WeightCost:
        row = weight.tensor.parameter
        rows, columns = (self._grown_dim(operator, weight.tensor, position) for position in (0, 1))
        source, target = (row.shape(sizes) for sizes in self._sizes)
        block = self._block(weight.tensor)
        matrix = Matrix(
            source=(source[0], source[1]),
            target=(target[0], target[1]),
            dims=(rows, columns),
            learned=row.layered and isinstance(operator.depth_matrix(row), DenseDepth),
            random=0 if block is None else block.entries.numel(),
        )
        lookups = sum(reader.looks_up for reader in weight.readers)
        return matrix.cost(tokens=tokens, linears=len(weight.readers) - lookups, lookups=lookups)


class _Grown(nn.Module):
    """Stands in the target module for a layer whose weight is applied as factors."""

    def __init__(self, host: GrownModule, tensor: TargetTensor, reader: _Reader) -> None:
        super().__init__()
        # Not as attributes of a module, which would make parts of this one: the host has it as a part.
        self.__dict__.update(host=host, tensor=tensor, reader=reader, weight=reader.module.weight)
        bias = getattr(reader.module, "bias", None)
        assert bias is None or isinstance(bias, nn.Parameter)
        self.register_parameter("bias", bias)

    def forward(self, inputs: Tensor) -> Tensor:
        """What the stock layer would compute with the grown weight."""
        host: GrownModule = self.__dict__["host"]
        tensor, reader = self.__dict__["tensor"], self.__dict__["reader"]
        if reader.looks_up:
            return host.lookup(tensor, inputs)
        bias = self._parameters["bias"]
        return host.linear(tensor, reader, inputs, bias)


def _part(flat: Tensor, first: int, size: int) -> Tensor:
    return flat.narrow(1, first, size)


def _random_block(residual: Tensor | None) -> _Random | None:
    if residual is None or not residual.any():
        return None
    rows, columns = (residual.any(1 - dim).nonzero().flatten() for dim in (0, 1))
    block = residual[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    return _Random(int(rows[0]), int(columns[0]), block.clone())


def _weights_of(module: nn.Module, plan: GrowthPlan) -> list[_Weight]:
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
        weights.append(_Weight(tensor, tuple(names), _readers(module, names), plan.operator.next_depth is None))
    return weights


def _readers(module: nn.Module, names: list[str]) -> list[_Reader] | None:
    """The modules that read a matrix; None where one does something else with it than multiply or look up."""
    readers = []
    for name in names:
        owner, _, attribute = name.rpartition(".")
        reader = module.get_submodule(owner)
        plain = type(reader) in (nn.Linear, nn.Embedding) or type(reader).__name__ == _TRANSPOSED
        if attribute != "weight" or not plain:
            return None
        readers.append(_Reader(owner, reader))
    return readers


def _owner(module: nn.Module, name: str) -> tuple[nn.Module, str]:
    owner, _, attribute = name.rpartition(".")
    return module.get_submodule(owner), attribute


def _blocks(module: nn.Module, plan: GrowthPlan) -> Iterator[nn.Module]:
    """The modules of the layers."""
    layered = {tensor.name for tensor in plan.tensors if tensor.layer is not None}
    known = parameter_names(plan.target, dict(module.named_parameters()))
    found = (_BLOCK.match(name) for name, stored in known.items() if stored in layered)
    for name in dict.fromkeys(match[0] for match in found if match):
        yield module.get_submodule(name)
