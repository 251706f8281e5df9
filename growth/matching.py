"""Which tensor of a checkpoint is which row of the family's table, whatever prefix or old name it goes by."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from growth.axes import LAYER, Architecture, Parameter, axis_sizes
from growth.config import ModelConfig
from growth.errors import InvalidCheckpoint
from growth.header import FLOATING, TensorInfo


@dataclass(frozen=True, slots=True)
class Matched:
    """The tensors of a checkpoint as the table knows them."""

    tensors: dict[str, TensorInfo]
    """By their name in the table."""
    rows: frozenset[str]
    """Names of the table's rows that the checkpoint has."""
    repeats: tuple[tuple[TensorInfo, TensorInfo], ...]
    """Copies that a tied head does not need, each with the tensor that it must equal."""
    notes: tuple[str, ...]
    """What is left out."""


def match_tensors(source: ModelConfig, tensors: Mapping[str, TensorInfo]) -> Matched:
    """Find the row of the table for each tensor of the checkpoint.

    Raises InvalidCheckpoint for a tensor that is missing, superfluous, named twice, quantised or of another shape than
    the config's.
    """
    table, sizes = source.architecture.table(source), axis_sizes(source.sizes)
    available = _by_canonical_name(source, {row.name for row in table}, tensors)
    found: dict[str, TensorInfo] = {}
    rows = []
    for row in table:
        names = _tensor_names(row, source.sizes.num_hidden_layers)
        if row.optional and not any(name in available for name in names):
            continue
        rows.append(row.name)
        for name in names:
            found[name] = _checked(source, name, available.get(name), row.shape(sizes))
    left = {name: available[name] for name in sorted(available.keys() - found.keys())}
    repeats = _repeats(source, found, left)
    notes = [repeat_note(name) for name in repeats]
    notes += _buffer_notes(source, [name for name in left if name not in repeats])
    return Matched(found, frozenset(rows), tuple(repeats.values()), tuple(notes))


def _by_canonical_name(source: ModelConfig, rows: set[str], tensors: Mapping[str, TensorInfo]) -> dict[str, TensorInfo]:
    available: dict[str, TensorInfo] = {}
    for name, tensor in tensors.items():
        canonical = canonical_name(source, rows, name)
        if canonical in available:
            raise InvalidCheckpoint(
                f"The checkpoint holds {available[canonical].name[:120]!r} and {name[:120]!r}, two names of one tensor."
            )
        available[canonical] = tensor
    return available


def renamed(architecture: Architecture, name: str) -> str:
    """The name that checkpoints are written with, of an old one or of a module's own."""
    for pattern, replacement in architecture.renames:
        name = re.sub(pattern, replacement, name)
    return name


def canonical_name(source: ModelConfig, rows: set[str], name: str) -> str:
    """The table's name of a tensor: renamed from old names, the base model's prefix added where it is missing."""
    name = renamed(source.architecture, name)
    prefixed = f"{source.base_prefix}.{name}"
    template = re.sub(r"\.\d+\.", ".{layer}.", prefixed, count=1)
    return prefixed if prefixed in rows or template in rows else name


def parameter_names(config: ModelConfig, names: Iterable[str]) -> dict[str, str]:
    """The table's name of each parameter of a stock module, which may know it by another than a checkpoint has."""
    rows = {row.name for row in config.architecture.table(config)} | config.architecture.fused.keys()
    return {name: canonical_name(config, rows, name) for name in names}


def fused_names(config: ModelConfig, name: str) -> list[str]:
    """The tensors of one `{expert}` that a module's tensor of this name in the table holds for all experts together.

    Empty where it is an ordinary one.
    """
    layer = re.search(r"\.(\d+)\.", name)
    if layer is None:
        return []
    template = name.replace(layer[0], f".{LAYER}.", 1)
    return [part.replace(LAYER, layer[1]) for part in config.architecture.fused.get(template, ())]


def held_tensors(config: ModelConfig, names: Iterable[str]) -> dict[str, list[str]]:
    """The tensors of a checkpoint that each parameter of a stock module holds: one, or those of all experts."""
    experts = range(config.sizes.fixed.get("experts", 0))
    held = {}
    for name, known in parameter_names(config, names).items():
        fused = fused_names(config, known)
        held[name] = [part.format(expert=expert) for expert in experts for part in fused] or [known]
    return held


def module_name(config: ModelConfig, name: str) -> str:
    """The stock module's own name of the parameter that holds a checkpoint's tensor; most often the same."""
    numbers = iter((LAYER, "{expert}"))
    template = re.sub(r"(?<=\.)\d+(?=\.)", lambda number: next(numbers, number[0]), name)
    layer = re.search(r"\.(\d+)\.", name)
    for held, parts in config.architecture.fused.items():
        if template in parts and layer is not None:
            name = held.replace(LAYER, layer[1])
    for pattern, replacement in config.architecture.module_renames:
        name = re.sub(pattern, replacement, name)
    return name if config.headed else name.removeprefix(f"{config.base_prefix}.")


def repeat_note(name: str) -> str:
    """What is told of a copy that a tied head does not need."""
    return f"{name} repeats a tied tensor and is left out; it is tied again on loading."


def _tensor_names(row: Parameter, layers: int) -> list[str]:
    return [row.tensor_name(layer) for layer in row.layers(layers)]


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


def _repeats(
    source: ModelConfig, found: Mapping[str, TensorInfo], left: Mapping[str, TensorInfo]
) -> dict[str, tuple[TensorInfo, TensorInfo]]:
    repeats = {}
    family = source.architecture
    for copy, original in {**family.shared_copies, **(family.tied_copies if source.tied else {})}.items():
        if copy in left and original in found:
            repeats[copy] = (_checked(source, copy, left[copy], found[original].shape), found[original])
    return repeats


def _buffer_notes(source: ModelConfig, names: Sequence[str]) -> list[str]:
    architecture = source.architecture
    for name in names:
        if not any(re.search(pattern, name) for pattern in architecture.ignored):
            raise InvalidCheckpoint(
                f"The checkpoint holds {name[:120]!r}, for which a {architecture.model_type} model has no place.",
                hint="Merge adapters into the weights, or write the model again with save_pretrained.",
            )
    if not names:
        return []
    told = f"{names[0][:120]!r}" + (f" and {len(names) - 1} more" if len(names) > 1 else "")
    return [f"Buffers that transformers computes by itself are left out: {told}."]
