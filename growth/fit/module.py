"""A stock target module that computes through the operator: its layers hold no weights of their own."""

import copy
from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn

from growth.apply import side_maps
from growth.axes import Parameter, axis_sizes
from growth.fit.activations import GrownDim
from growth.fit.blocks import Block, blocks_of, columns_apart
from growth.fit.form import Form, Matrix, WeightCost, operations
from growth.fit.readers import ModuleWeight, Reader, bias_of, layer_modules, owner_of, weights_of
from growth.fit.recomputing import Checkpointing, Products, recompute
from growth.fit.weights import SourceWeights, StepWeights
from growth.operators.dense import DenseDepth
from growth.operators.operator import GrowthOperator
from growth.plan import GrowthPlan, TargetTensor


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
        for part in self.module.modules():
            part._buffers.update({name: b if b is None else b.to(source.device) for name, b in part._buffers.items()})
        self._products = Products()
        self._step: StepWeights | None = None
        self._dims: dict[tuple[str, int], GrownDim] = {}
        self._contracted: tuple[Tensor, tuple[int, ...], Tensor] | None = None
        self._random: dict[str, tuple[Block, ...]] = {}
        weights = weights_of(self.module, plan)
        self.costs = {w.tensor.name: self._cost(w, operator, tokens) for w in weights if w.readers}
        self.forms = {name: cost.cheapest(form) for name, cost in self.costs.items()}
        factored = [weight for weight in weights if self.forms.get(weight.tensor.name) == "factored"]
        biases = {weight.tensor.name: bias_of(weight, weights) for weight in factored}
        folded = [bias for bias in biases.values() if bias is not None]
        self._mixed = dict.fromkeys(weight.tensor.parameter for weight in [*factored, *folded])
        written = [weight for weight in weights if weight not in factored and weight not in folded]
        self._written = {weight.name: weight.tensor for weight in written}
        source.settle(self._mixed)
        for block in layer_modules(self.module, plan):
            recompute(block, self._products, checkpointing)
        for weight in factored:
            bias = biases[weight.tensor.name]
            for reader in weight.readers:
                row = None if bias is None else bias.tensor.parameter
                self.module.set_submodule(reader.name, _Grown(self, weight.tensor, reader, row))
        self._owners = {weight.name: [owner_of(self.module, name) for name in weight.names] for weight in written}

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

    @property
    def operator(self) -> GrowthOperator:
        """That of the step."""
        return self._current().operator

    def end(self) -> None:
        """Let go of the step's weights, whose gradients have gone on to the factors."""
        self._step, self._contracted = None, None
        self._dims = {}
        for owner, attribute in (place for owners in self._owners.values() for place in owners):
            owner._parameters[attribute] = None

    def run(self, batch: Mapping[str, Any]) -> Any:
        """The module's output for one batch."""
        self._contracted = None
        return self.module(**batch)

    def linear(self, layer: "_Grown", inputs: Tensor, own_bias: Tensor | None) -> Tensor:
        """What a linear layer with a grown weight makes of `inputs` [..., in]; `own_bias` [out] is written out."""
        step, tensor, into = self._current(), layer.tensor, layer.reader.input_dim
        flat, rows, scale = inputs.flatten(0, -2), self._dim(tensor, 1 - into), step.grower.scale(tensor.parameter)
        weight = step.mixed(tensor.parameter, tensor.layer)
        bias = None if layer.bias_row is None else step.mixed(layer.bias_row, tensor.layer)
        if not rows.grows and scale == 1.0:
            bias, own_bias = bias if own_bias is None else own_bias, None
        units = self._products.linear(self._contract(inputs, flat, tensor, into), weight if into else weight.T, bias)
        outputs = rows.expanded(units, self._added(flat, tensor, into))
        outputs = outputs if scale == 1.0 else outputs * scale
        outputs = outputs if own_bias is None else outputs + own_bias.to(outputs.dtype)
        return outputs.view(*inputs.shape[:-1], outputs.shape[-1])

    def lookup(self, tensor: TargetTensor, indices: Tensor) -> Tensor:
        """The rows `indices` of the grown table `tensor`."""
        step, flat = self._current(), indices.flatten()
        units = nn.functional.embedding(flat, step.mixed(tensor.parameter, tensor.layer))
        added = [(block.column, nn.functional.embedding(flat, block.entries)) for block in self._blocks(tensor)]
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

    def _added(self, flat: Tensor, tensor: TargetTensor, into: int) -> list[tuple[int, Tensor]]:
        """What the residual makes of the inputs, each time with the first output unit that takes it."""
        blocks = self._blocks(tensor, transposed=into == 0)
        parts = columns_apart(flat, blocks)
        return [(block.row, self._products.linear(parts[block.column], block.entries)) for block in blocks]

    def _blocks(self, tensor: TargetTensor, *, transposed: bool = False) -> tuple[Block, ...]:
        if tensor.name not in self._random:
            residual = self._source.residual(tensor.parameter, tensor.layer)
            turned = residual.T if transposed and residual is not None else residual
            self._random[tensor.name] = blocks_of(turned)
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

    def _cost(self, weight: ModuleWeight, operator: GrowthOperator, tokens: int) -> WeightCost:
        row = weight.tensor.parameter
        rows, columns = (self._grown_dim(operator, weight.tensor, position) for position in (0, 1))
        source, target = (row.shape(sizes) for sizes in self._sizes)
        blocks = self._blocks(weight.tensor, transposed=weight.readers[0].input_dim == 0)
        matrix = Matrix(
            source=(source[0], source[1]),
            target=(target[0], target[1]),
            dims=(rows, columns),
            learned=row.layered and isinstance(operator.depth_matrix(row), DenseDepth),
            random=sum(block.entries.numel() for block in blocks),
        )
        lookups = sum(reader.looks_up for reader in weight.readers)
        return matrix.cost(tokens=tokens, linears=len(weight.readers) - lookups, lookups=lookups)


class _Grown(nn.Module):
    """Stands in the target module for a layer whose weight is applied as factors."""

    host: GrownModule
    tensor: TargetTensor
    reader: Reader
    bias_row: Parameter | None
    """Where the bias grows as the weight's rows do, and is added before they do."""

    def __init__(self, host: GrownModule, tensor: TargetTensor, reader: Reader, bias_row: Parameter | None) -> None:
        super().__init__()
        # Not as attributes of a module, which would make parts of this one: the host has it as a part.
        self.__dict__.update(host=host, tensor=tensor, reader=reader, bias_row=bias_row, weight=reader.module.weight)
        bias = getattr(reader.module, "bias", None)
        assert bias is None or isinstance(bias, nn.Parameter)
        self.register_parameter("bias", bias if bias_row is None else None)

    def forward(self, inputs: Tensor) -> Tensor:
        """What the stock layer would compute with the grown weight."""
        if self.reader.looks_up:
            return self.host.lookup(self.tensor, inputs)
        return self.host.linear(self, inputs, self._parameters["bias"])
