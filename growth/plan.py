"""The plan of a growth: target sizes, tensors, shards and costs, from configs and safetensors headers alone.

`make_plan` is deterministic and reads no weight: the service shows it before a job is accepted, and the worker makes
the same plan again.
"""

from collections import Counter
from collections.abc import Container, Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import prod
from typing import Any, Literal, Protocol, TypeVar, get_args

from growth.axes import Parameter, Role, axis_sizes
from growth.config import ModelConfig, Sizes
from growth.errors import ImpossibleTarget, InvalidMethod
from growth.header import TensorInfo
from growth.inputs import reads_corpus
from growth.matching import match_tensors
from growth.operators.ligo import Ligo
from growth.operators.method import Built, Growth, Method
from growth.operators.operator import GrowthOperator
from growth.operators.selection import Selection
from growth.target import check_numbers, resolve_target
from growth.untying import untied, unties
from growth.upcycling import Experts, asked_experts, upcycled

Dtype = Literal["float32", "bfloat16", "float16"]
DTYPES: tuple[Dtype, ...] = get_args(Dtype)
DTYPE_CODES: Mapping[Dtype, str] = {"float32": "F32", "bfloat16": "BF16", "float16": "F16"}
DTYPE_SIZES: Mapping[Dtype, int] = {"float32": 4, "bfloat16": 2, "float16": 2}
MAX_PARAMETERS = 10**13


class HasBytes(Protocol):
    """Something that takes room in a shard."""

    @property
    def nbytes(self) -> int: ...


Sized = TypeVar("Sized", bound=HasBytes)


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
    """The one that grows; where it was picked, `selection` tells how."""
    operator: GrowthOperator
    """The method's operator; for a method that fits, where the fit starts."""
    function_preserving: bool
    dtype: Dtype
    seed: int
    expert_noise: float
    """Standard deviation, in units of the weight's own, of what parts experts that copy one dense MLP."""
    source_tensors: Mapping[str, TensorInfo]
    """The source's tensors by their name in the table."""
    repeats: tuple[tuple[TensorInfo, TensorInfo], ...]
    """Copies in the source that a tied head does not need, each with the tensor that it must equal."""
    tensors: tuple[TargetTensor, ...]
    shards: tuple[tuple[TargetTensor, ...], ...]
    notes: tuple[str, ...]
    selection: Selection | None = None
    training_memory_bytes: int = 0
    """What training the source takes, where it is no checkpoint yet."""

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
        # A head that is untied has its source in common with the embedding.
        source_tensors = {tensor.name: tensor for tensor in self.source_tensors.values()}.values()
        source_shapes = [tensor.shape for tensor in source_tensors]
        target_shapes = [tensor.shape for tensor in self.tensors]
        return {
            "model_type": self.source.architecture.model_type,
            "architecture": self.source.model_class,
            "method": self.method.described(),
            "function_preserving": self.function_preserving,
            "source": model_size(self.source, source_shapes, sum(tensor.nbytes for tensor in source_tensors)),
            "target": model_size(self.target, target_shapes, self.target_bytes),
            "dtype": self.dtype,
            "tensors": len(self.tensors),
            "shards": len(self.shards),
            "largest_tensor_bytes": self.largest_tensor_bytes,
            "peak_memory_bytes": self._peak_memory_bytes(),
            "notes": list(self.notes),
            "selection": None if self.selection is None else self.selection.summary(),
        }

    def _peak_memory_bytes(self) -> int:
        """Of the expansion two float32 copies of the largest tensor; of a fit the source, mixed to the target's depth.

        A fit holds the mixed source once more for its gradient; its activations, which the batch sets, come on top.
        """
        expansion = 2 * self.largest_tensor_bytes * (4 // DTYPE_SIZES[self.dtype])
        if not self.method.fits:
            return max(expansion, self.training_memory_bytes)
        source_bytes = sum(4 * prod(tensor.shape) for tensor in self.source_tensors.values())
        depth = self.target.sizes.num_hidden_layers / self.source.sizes.num_hidden_layers
        fit = source_bytes + 2 * round(depth * source_bytes)
        return max(expansion, fit, self.training_memory_bytes)


def make_plan(
    source: ModelConfig,
    tensors: Mapping[str, TensorInfo],
    target: Mapping[str, int],
    method: Method,
    *,
    dtype: Dtype | None = None,
    seed: int = 0,
    expert_noise: float = 0.0,
    max_shard_bytes: int = 5_000_000_000,
) -> GrowthPlan:
    """Plan the growth of the checkpoint with config `source` and the given tensor headers to the sizes in `target`.

    `dtype` is the written one, the source's own where None; `expert_noise` parts the experts of a dense model that
    becomes a mixture, in standard deviations of each weight. Raises ImpossibleTarget, InvalidCheckpoint or another
    GrowthError, in one sentence with the nearest target that works.
    """
    check_numbers(target)
    _refuse_fit(source, method)
    matched = match_tensors(source, tensors)
    written = dtype or _dominant_dtype(tensors)
    experts, dense_target = asked_experts(source, target)
    _refuse_experts(source, method, experts, expert_noise)
    sizes, built = _reach(source, matched.rows, dense_target, method, seed)
    if unties(source, built.operator):
        matched = untied(source, matched)
    grown = source.replaced(sizes, **_config_changes(source, built, written))
    if experts:
        grown, matched = upcycled(source, grown, matched, experts)
    target_tensors = tuple(_target_tensors(grown, matched.rows, written, built.order))
    return GrowthPlan(
        source=source,
        target=grown,
        method=built.method or method,
        operator=built.operator,
        function_preserving=built.function_preserving and not expert_noise,
        dtype=written,
        seed=seed,
        expert_noise=expert_noise,
        source_tensors=matched.tensors,
        repeats=matched.repeats,
        tensors=target_tensors,
        shards=split_shards(target_tensors, max_shard_bytes),
        notes=(*built.notes, *matched.notes),
        selection=built.selection,
    )


def _refuse_fit(source: ModelConfig, method: Method) -> None:
    if method.fits and not reads_corpus(source):
        raise InvalidMethod(
            f"Method {method.name!r} fits on running text or labelled images, which is not what a "
            f"{source.model_class or source.architecture.model_type} model is trained on.",
            hint="Grow it by a closed-form method.",
        )
    if isinstance(method, Ligo) and not source.headed and not method.matches(headed=False):
        raise InvalidMethod(
            f"The source, {source.model_class or 'a model without a head'}, has no head to compute a loss of its own.",
            field="/method/objective",
            hint="Leave the objective out, and the target is fitted to match the source's hidden states.",
        )


def _refuse_experts(source: ModelConfig, method: Method, experts: Experts | None, expert_noise: float) -> None:
    if expert_noise and not experts:
        raise ImpossibleTarget(
            "Noise on experts is for a dense model that becomes a mixture; name num_local_experts in the target too.",
            field="/expert_noise",
        )
    if method.fits and (experts or source.architecture.fused):
        raise InvalidMethod(
            f"Method {method.name!r} can't fit a mixture of experts, whose module holds all experts in one tensor.",
            hint="Grow it by a closed-form method.",
        )


def _reach(
    source: ModelConfig, rows: Container[str], target: Mapping[str, int], method: Method, seed: int
) -> tuple[Sizes, Built]:
    """The target's sizes and the method's operator; `rows` are the names of the table's rows that the source has."""
    try:
        sizes = resolve_target(source, target)
        # Before any map is built: maps of absurd sizes would fill the memory of whoever plans.
        if _count_parameters(source.replaced(sizes), rows) > MAX_PARAMETERS:
            raise ImpossibleTarget(f"The target has more than {MAX_PARAMETERS:.0e} parameters; ask for smaller sizes.")
        return sizes, method.build(Growth(source, sizes, seed))
    except ImpossibleTarget as refusal:
        if refusal.nearest:
            named = {source.size_key(key) or key: size for key, size in target.items()}
            refusal.nearest = _settle(source, rows, named, refusal.nearest, method, seed)
        raise


def _settle(
    source: ModelConfig,
    rows: Container[str],
    target: Mapping[str, int],
    nearest: Mapping[str, int],
    method: Method,
    seed: int,
) -> dict[str, int]:
    """`nearest` with what else must change in `target` until the whole of it works; empty where nothing is known to."""
    changed = {**target, **nearest}
    assert changed != target
    try:
        _reach(source, rows, changed, method, seed)
    except ImpossibleTarget as further:
        return {**nearest, **further.nearest} if further.nearest else {}
    return dict(nearest)


def _count_parameters(config: ModelConfig, rows: Container[str]) -> int:
    sizes, layers = axis_sizes(config.sizes), config.sizes.num_hidden_layers
    table = [row for row in config.architecture.table(config) if row.name in rows]
    return sum(prod(row.shape(sizes)) * (layers if row.layered else 1) for row in table)


def _dominant_dtype(tensors: Mapping[str, TensorInfo]) -> Dtype:
    volume: Counter[str] = Counter()
    for tensor in tensors.values():
        volume[tensor.dtype] += tensor.nbytes
    codes = {code: dtype for dtype, code in DTYPE_CODES.items()}
    return next((codes[code] for code, _ in volume.most_common() if code in codes), "float32")


def _config_changes(source: ModelConfig, built: Built, dtype: Dtype) -> dict[str, object]:
    changes: dict[str, object] = {key: dtype for key in ("dtype", "torch_dtype") if key in source.raw}
    changes = changes or {"dtype": dtype}
    if built.operator.epsilon_scale != 1.0:
        changes[source.norm.epsilon_key] = source.epsilon * built.operator.epsilon_scale
    for key, values in source.architecture.layer_lists(source.raw).items():
        changes[key] = [values[layer] for layer in built.order]
    if unties(source, built.operator):
        changes["tie_word_embeddings"] = False
    return changes


def _target_tensors(
    target: ModelConfig, rows: Container[str], dtype: Dtype, order: Sequence[int]
) -> Iterable[TargetTensor]:
    sizes = axis_sizes(target.sizes)

    def tensor(row: Parameter, layer: int | None) -> TargetTensor:
        shape = row.shape(sizes)
        return TargetTensor(row.tensor_name(layer), row, layer, shape, prod(shape) * DTYPE_SIZES[dtype])

    table = [row for row in target.architecture.table(target) if row.name in rows]
    first_layered = next((i for i, row in enumerate(table) if row.layered), len(table))
    yield from (tensor(row, None) for row in table[:first_layered])
    # Copies of one tensor are written side by side, so that each tensor of the source is read once.
    for layers in _copies(order):
        for row in table:
            yield from (tensor(row, layer) for layer in layers if row.layered and layer not in row.absent_layers)
    yield from (tensor(row, None) for row in table[first_layered:] if not row.layered)


def _copies(order: Sequence[int]) -> Iterable[Sequence[int]]:
    """The target's layers that copy one layer of the source, for each of them; `order` tells which a layer copies."""
    groups: dict[int, list[int]] = {}
    for layer, source in enumerate(order):
        groups.setdefault(source, []).append(layer)
    return groups.values()


def split_shards(tensors: Iterable[Sized], max_shard_bytes: int) -> tuple[tuple[Sized, ...], ...]:
    """The tensors in their order, in shards of at most `max_shard_bytes`, save for a single larger tensor."""
    shards: list[tuple[Sized, ...]] = []
    shard: list[Sized] = []
    filled = 0
    for tensor in tensors:
        if shard and filled + tensor.nbytes > max_shard_bytes:
            shards.append(tuple(shard))
            shard, filled = [], 0
        shard.append(tensor)
        filled += tensor.nbytes
    return (*shards, tuple(shard))


def model_size(config: ModelConfig, shapes: Iterable[tuple[int, ...]], weight_bytes: int) -> dict[str, Any]:
    """One model as plain JSON values: its sizes, and what it takes to store and to run."""
    return {
        "sizes": config.sizes.as_dict(),
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
            total += round(2 * prod(parameter.shape(sizes)) * parameter.share) * (layers if parameter.layered else 1)
    head = 2 * config.sizes.vocab_size * config.sizes.hidden_size if config.headed else 0
    return total + head
