"""The plan of a growth: target sizes, tensors, shards and costs, from configs and safetensors headers alone.

`make_plan` is deterministic and reads no weight: the service shows it before a job is accepted, and the worker makes
the same plan again.
"""

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from math import prod
from typing import Any, Literal, get_args

from growth.axes import Parameter, Role, axis_sizes
from growth.config import SIZE_NAMES, ModelConfig
from growth.errors import ImpossibleTarget, InvalidCheckpoint, InvalidMethod
from growth.header import FLOATING, TensorInfo
from growth.operators.method import Growth, Method
from growth.operators.operator import GrowthOperator
from growth.target import resolve_target

Dtype = Literal["float32", "bfloat16", "float16"]
DTYPES: tuple[Dtype, ...] = get_args(Dtype)
DTYPE_CODES: Mapping[Dtype, str] = {"float32": "F32", "bfloat16": "BF16", "float16": "F16"}
DTYPE_SIZES: Mapping[Dtype, int] = {"float32": 4, "bfloat16": 2, "float16": 2}
MAX_PARAMETERS = 10**13


@dataclass(frozen=True, slots=True)
class TargetTensor:
    """One tensor of the target, and the row of the table that it belongs to."""

    name: str
    parameter: Parameter
    layer: int | None
    shape: tuple[int, ...]
    nbytes: int


@dataclass(frozen=True, slots=True)
class GrowthPlan:
    """All that is known of a growth before a weight is read."""

    source: ModelConfig
    target: ModelConfig
    """Its `raw` is the config.json to write."""
    method: Method
    operator: GrowthOperator
    """The method's operator; for a method that fits, where the fit starts."""
    function_preserving: bool
    dtype: Dtype
    seed: int
    source_tensors: Mapping[str, TensorInfo]
    """The source's tensors by their name in the table."""
    tensors: tuple[TargetTensor, ...]
    shards: tuple[tuple[TargetTensor, ...], ...]
    notes: tuple[str, ...]

    @property
    def largest_tensor_bytes(self) -> int:
        """Bytes of the largest target tensor as written."""
        return max(tensor.nbytes for tensor in self.tensors)

    @property
    def target_bytes(self) -> int:
        """Bytes of all target tensors as written."""
        return sum(tensor.nbytes for tensor in self.tensors)

    def summary(self) -> dict[str, Any]:
        """The plan as plain JSON values, for people and for the job's record."""
        source_shapes = {name: tensor.shape for name, tensor in self.source_tensors.items()}
        target_shapes = {tensor.name: tensor.shape for tensor in self.tensors}
        return {
            "model_type": self.source.architecture.model_type,
            "architecture": self.source.model_class,
            "method": self.method.described(),
            "function_preserving": self.function_preserving,
            "source": _size(self.source, source_shapes.values(), sum(t.nbytes for t in self.source_tensors.values())),
            "target": _size(self.target, target_shapes.values(), self.target_bytes),
            "dtype": self.dtype,
            "tensors": len(self.tensors),
            "shards": len(self.shards),
            "largest_tensor_bytes": self.largest_tensor_bytes,
            "peak_memory_bytes": self._peak_memory_bytes(),
            "notes": list(self.notes),
        }

    def _peak_memory_bytes(self) -> int:
        """Of the expansion two float32 copies of the largest tensor; of a fit the weights, gradients and optimizer."""
        per_byte = 4 // DTYPE_SIZES[self.dtype]
        expansion = 2 * self.largest_tensor_bytes * per_byte
        if not self.method.fits:
            return expansion
        source_bytes = sum(4 * prod(tensor.shape) for tensor in self.source_tensors.values())
        return expansion + source_bytes + 3 * self.target_bytes * per_byte


def make_plan(
    source: ModelConfig,
    tensors: Mapping[str, TensorInfo],
    target: Mapping[str, int],
    method: Method,
    *,
    dtype: Dtype | None = None,
    seed: int = 0,
    max_shard_bytes: int = 5_000_000_000,
) -> GrowthPlan:
    """Plan the growth of the checkpoint with config `source` and the given tensor headers to the sizes in `target`.

    `dtype` is the written one, the source's own where None. Raises ImpossibleTarget, InvalidCheckpoint or another
    GrowthError, in one sentence with the nearest target that works.
    """
    if method.fits and not source.headed:
        raise InvalidMethod(
            f"Method {method.name!r} fits on the model's own loss, and {source.model_class or 'the source'} has no "
            "language-model head.",
            hint="Grow it by a closed-form method, or give the checkpoint with its head.",
        )
    sizes = resolve_target(source, target)
    built = method.build(Growth(source, sizes, seed))
    found, table, notes = _match(source, tensors)
    written = dtype or _dominant_dtype(tensors)
    grown = source.replaced(sizes, **_config_changes(source, built.operator, written))
    target_tensors = tuple(_target_tensors(table, grown, written))
    if sum(prod(t.shape) for t in target_tensors) > MAX_PARAMETERS:
        raise ImpossibleTarget(f"The target has more than {MAX_PARAMETERS:.0e} parameters; ask for smaller sizes.")
    return GrowthPlan(
        source=source,
        target=grown,
        method=method,
        operator=built.operator,
        function_preserving=built.function_preserving,
        dtype=written,
        seed=seed,
        source_tensors=found,
        tensors=target_tensors,
        shards=tuple(_shards(target_tensors, max_shard_bytes)),
        notes=(*built.notes, *notes),
    )


def _match(
    source: ModelConfig, tensors: Mapping[str, TensorInfo]
) -> tuple[dict[str, TensorInfo], tuple[Parameter, ...], list[str]]:
    """The source's tensors under the table's names, and the rows of the table that the checkpoint has."""
    architecture, sizes = source.architecture, axis_sizes(source.sizes)
    available = {_canonical_name(source, name): tensor for name, tensor in tensors.items()}
    found: dict[str, TensorInfo] = {}
    table = []
    for parameter in architecture.table(source):
        names = _tensor_names(parameter, source.sizes.num_hidden_layers)
        present = [name for name in names if name in available]
        if parameter.optional and not present:
            continue
        table.append(parameter)
        for name in names:
            found[name] = _checked(source, name, available.get(name), parameter.shape(sizes))
    return found, tuple(table), _leftovers(source, set(available) - set(found))


def _tensor_names(parameter: Parameter, layers: int) -> list[str]:
    return [parameter.tensor_name(layer) for layer in (range(layers) if parameter.layered else (None,))]


def _canonical_name(source: ModelConfig, name: str) -> str:
    """The table's name of a tensor: renamed from old names, the base model's prefix added where it is missing."""
    architecture = source.architecture
    for pattern, replacement in architecture.renames:
        name = re.sub(pattern, replacement, name)
    prefixed = f"{architecture.base_prefix}.{name}"
    return prefixed if _table_knows(source, prefixed) else name


def _table_knows(source: ModelConfig, name: str) -> bool:
    template = re.sub(r"\.\d+\.", ".{layer}.", name, count=1)
    return any(parameter.name in (name, template) for parameter in source.architecture.table(source))


def _checked(source: ModelConfig, name: str, tensor: TensorInfo | None, shape: tuple[int, ...]) -> TensorInfo:
    model = source.model_class or source.architecture.model_type
    if tensor is None:
        raise InvalidCheckpoint(f"The checkpoint has no tensor {name!r}, which a {model} needs.")
    if tensor.shape != shape:
        raise InvalidCheckpoint(
            f"Tensor {name!r} has shape {list(tensor.shape)}, but config.json makes it {list(shape)}: "
            "weights and config do not belong together."
        )
    if tensor.dtype not in FLOATING:
        raise InvalidCheckpoint(f"Tensor {name!r} is stored as {tensor.dtype}; quantised weights can't be grown.")
    return tensor


def _leftovers(source: ModelConfig, names: Iterable[str]) -> list[str]:
    architecture = source.architecture
    notes = []
    for name in sorted(names):
        if source.tied and any(re.search(pattern, name) for pattern in architecture.tied_copies):
            notes.append(f"{name} repeats a tied tensor and is left out; it is tied again on loading.")
        elif any(re.search(pattern, name) for pattern in architecture.ignored):
            notes.append(f"{name} is a buffer that transformers computes by itself; it is left out.")
        else:
            raise InvalidCheckpoint(
                f"The checkpoint holds {name[:120]!r}, for which a {architecture.model_type} model has no place.",
                hint="Merge adapters into the weights, or write the model again with save_pretrained.",
            )
    return notes


def _dominant_dtype(tensors: Mapping[str, TensorInfo]) -> Dtype:
    volume: Counter[str] = Counter()
    for tensor in tensors.values():
        volume[tensor.dtype] += tensor.nbytes
    codes = {code: dtype for dtype, code in DTYPE_CODES.items()}
    return next((codes[code] for code, _ in volume.most_common() if code in codes), "float32")


def _config_changes(source: ModelConfig, operator: GrowthOperator, dtype: Dtype) -> dict[str, object]:
    changes: dict[str, object] = {key: dtype for key in ("dtype", "torch_dtype") if key in source.raw}
    changes = changes or {"dtype": dtype}
    if operator.epsilon_scale != 1.0:
        changes[source.architecture.norm.epsilon_key] = source.epsilon * operator.epsilon_scale
    return changes


def _target_tensors(table: Iterable[Parameter], target: ModelConfig, dtype: Dtype) -> Iterable[TargetTensor]:
    sizes = axis_sizes(target.sizes)

    def tensor(parameter: Parameter, layer: int | None) -> TargetTensor:
        shape = parameter.shape(sizes)
        return TargetTensor(parameter.tensor_name(layer), parameter, layer, shape, prod(shape) * DTYPE_SIZES[dtype])

    rows = list(table)
    first_layered = next((i for i, p in enumerate(rows) if p.layered), len(rows))
    yield from (tensor(p, None) for p in rows[:first_layered])
    for layer in range(target.sizes.num_hidden_layers):
        yield from (tensor(p, layer) for p in rows if p.layered)
    yield from (tensor(p, None) for p in rows[first_layered:] if not p.layered)


def _shards(tensors: Iterable[TargetTensor], max_shard_bytes: int) -> Iterable[tuple[TargetTensor, ...]]:
    shard: list[TargetTensor] = []
    filled = 0
    for tensor in tensors:
        if shard and filled + tensor.nbytes > max_shard_bytes:
            yield tuple(shard)
            shard, filled = [], 0
        shard.append(tensor)
        filled += tensor.nbytes
    yield tuple(shard)


def _size(config: ModelConfig, shapes: Iterable[tuple[int, ...]], weight_bytes: int) -> dict[str, Any]:
    sizes = {name: getattr(config.sizes, name) for name in SIZE_NAMES}
    return {
        "sizes": sizes,
        "parameters": sum(prod(shape) for shape in shapes),
        "weight_bytes": weight_bytes,
        "flops_per_token": _flops_per_token(config),
    }


def _flops_per_token(config: ModelConfig) -> int:
    """Multiply-adds of the matrices times two; a tied head counts though it stores nothing."""
    sizes, layers = axis_sizes(config.sizes), config.sizes.num_hidden_layers
    total = 0
    for parameter in config.architecture.table(config):
        if parameter.role is Role.LINEAR and not parameter.optional:
            total += 2 * prod(parameter.shape(sizes)) * (layers if parameter.layered else 1)
    head = 2 * config.sizes.vocab_size * config.sizes.hidden_size if config.headed else 0
    return total + head
