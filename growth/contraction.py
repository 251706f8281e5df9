"""One linear map along one dimension of a tensor: gathers for selections, a product for dense maps."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Tensor, nn

from growth.operators.dense import DenseMap, UpdatedMap
from growth.operators.maps import MEAN, ZERO, LinearMap, Selection

_LONG_BLOCK = 16
"""Units from which on whole blocks copy faster than single units do."""


def apply_map(tensor: Tensor, linear_map: LinearMap, position: int) -> Tensor:
    """`linear_map` [T, S] applied along dimension `position` of `tensor`, whose size goes from S to T."""
    assert tensor.shape[position] == linear_map.source_size
    if isinstance(linear_map, DenseMap):
        return _product(linear_map.matrix, tensor, position)
    if isinstance(linear_map, UpdatedMap):
        inner = tensor if linear_map.down is None else _product(linear_map.down, tensor, position)
        update = _product(linear_map.up, inner, position)
        if linear_map.appends:
            return torch.cat([tensor, update], position)
        grown = _gather(tensor, linear_map.start, position)
        return grown.index_add(position, _rows(linear_map, tensor), update)
    assert isinstance(linear_map, Selection)
    return _gather(tensor, linear_map, position)


def apply_transposed(tensor: Tensor, linear_map: LinearMap, position: int) -> Tensor:
    """The transpose of `linear_map` [T, S] applied along dimension `position`, whose size goes from T to S."""
    assert tensor.shape[position] == linear_map.target_size
    if isinstance(linear_map, DenseMap):
        return _product(linear_map.matrix.T, tensor, position)
    if isinstance(linear_map, UpdatedMap):
        return _updated_transposed(tensor, linear_map, position)
    assert isinstance(linear_map, Selection)
    return _scatter(tensor, linear_map, position)


def _updated_transposed(tensor: Tensor, updated: UpdatedMap, position: int) -> Tensor:
    if updated.appends:
        kept, new = torch.split(tensor, [updated.source_size, len(updated.rows)], position)
    else:
        kept = _scatter(tensor, updated.start, position)
        new = tensor.index_select(position, _rows(updated, tensor))
    inner = _product(updated.up.T, new, position)
    update = inner if updated.down is None else _product(updated.down.T, inner, position)
    read: Tensor = kept + update
    return read


def _product(matrix: Tensor, tensor: Tensor, position: int) -> Tensor:
    """`matrix` [n, S] applied along dimension `position`, whose size goes from S to n."""
    matrix = matrix.to(tensor.device, tensor.dtype)
    if position == tensor.ndim - 1:
        return nn.functional.linear(tensor, matrix)
    before, after = "abcd"[:position], "efgh"[: tensor.ndim - position - 1]
    return torch.einsum(f"ns,{before}s{after}->{before}n{after}", matrix, tensor)


def _rows(updated: UpdatedMap, tensor: Tensor) -> Tensor:
    return torch.tensor(updated.rows, device=tensor.device)


def split_dim(tensor: Tensor, position: int, sizes: Sequence[int]) -> Tensor:
    """Dimension `position` of `tensor` as one dimension for each of `sizes`; `merge_dims` undoes it."""
    return tensor.reshape([*tensor.shape[:position], *sizes, *tensor.shape[position + 1 :]])


def merge_dims(tensor: Tensor, position: int, count: int) -> Tensor:
    """`count` dimensions from `position` as one."""
    return tensor.flatten(position, position + count - 1)


@dataclass(frozen=True, slots=True)
class Computed:
    """What is left of a map once it has computed: a factor, and copies of whole units, which can wait for a cast."""

    tensor: Tensor
    copies: Selection | None = None
    scale: float = 1.0


def compute(tensor: Tensor, linear_map: LinearMap, position: int) -> Computed:
    """The part of `linear_map` that computes, done at the source's size wherever that can be.

    Weights that depend on the source unit alone scale the source, before there are copies of it; one weight for all
    units is left as a factor.
    """
    if not isinstance(linear_map, Selection) or MEAN in linear_map.index:
        return Computed(apply_map(wide(tensor), linear_map, position))
    weights = _unit_weights(linear_map)
    if weights is None:
        return Computed(apply_map(wide(tensor), linear_map, position))
    copies = Selection.of(linear_map.index, linear_map.source_size)
    if len(set(weights)) <= 1:
        return Computed(tensor, copies, weights[0] if weights else 1.0)
    scale = torch.tensor(weights, dtype=torch.float64, device=tensor.device)
    tensor = wide(tensor)
    return Computed(tensor * _along(scale, position, tensor), copies)


def wide(tensor: Tensor) -> Tensor:
    """The tensor in float32, or in float64 where it is."""
    return tensor if tensor.dtype is torch.float64 else tensor.float()


def copy_units(tensor: Tensor, copies: Selection, position: int) -> Tensor:
    """Copies of whole units along dimension `position`, zeros for ZERO; nothing is computed, so any dtype will do."""
    if copies.is_identity:
        return tensor
    blocks = _blocks(copies)
    if len(blocks) * _LONG_BLOCK <= copies.target_size:
        return torch.cat([_block(tensor, position, start, length) for start, length in blocks], position)
    index, _ = _tensors(copies, tensor.device)
    if ZERO in copies.index:
        tensor = torch.cat([tensor, torch.zeros_like(tensor.narrow(position, 0, 1))], position)
    return tensor.index_select(position, index)


def _block(tensor: Tensor, position: int, start: int, length: int) -> Tensor:
    if start != ZERO:
        return tensor.narrow(position, start, length)
    shape = [*tensor.shape]
    shape[position] = length
    return tensor.new_zeros(shape)


@lru_cache(maxsize=64)
def _blocks(copies: Selection) -> tuple[tuple[int, int], ...]:
    """Runs (first source unit or ZERO, length) of consecutive source units, or of ZERO."""
    blocks: list[tuple[int, int]] = []
    for unit in copies.index:
        start, length = blocks[-1] if blocks else (ZERO, 0)
        follows = unit == start == ZERO or (start != ZERO and unit == start + length)
        if blocks and follows:
            blocks[-1] = (start, length + 1)
        else:
            blocks.append((unit, 1))
    return tuple(blocks)


@lru_cache(maxsize=64)
def _unit_weights(selection: Selection) -> tuple[float, ...] | None:
    """The weight of each source unit, where all its copies have the same; None where they differ."""
    weights: dict[int, float] = {}
    for unit, weight in zip(selection.index, selection.weight, strict=True):
        if unit != ZERO and weights.setdefault(unit, weight) != weight:
            return None
    return tuple(weights.get(unit, 1.0) for unit in range(selection.source_size))


def _gather(tensor: Tensor, selection: Selection, position: int) -> Tensor:
    if selection.is_identity:
        return tensor
    if MEAN not in selection.index and set(selection.weight) <= {1.0}:
        return copy_units(tensor, selection, position)
    index, weight = _tensors(selection, tensor.device)
    if ZERO in selection.index or MEAN in selection.index:
        mean = tensor.mean(position, keepdim=True)
        tensor = torch.cat([tensor, torch.zeros_like(mean), mean], position)
    grown = tensor.index_select(position, index)
    return grown * _along(weight, position, grown)


def _scatter(tensor: Tensor, selection: Selection, position: int) -> Tensor:
    """The transpose of `_gather`."""
    size = selection.source_size
    if _blocks(selection) == ((0, size), (ZERO, selection.target_size - size)) and set(selection.weight[:size]) == {
        1.0
    }:
        return tensor.narrow(position, 0, size)
    index, weight = _tensors(selection, tensor.device)
    shape = [*tensor.shape]
    shape[position] = size + 2
    empty = torch.zeros(shape, dtype=tensor.dtype, device=tensor.device)
    summed = empty.index_add(position, index, tensor * _along(weight, position, tensor))
    units = summed.narrow(position, 0, size)
    return units + summed.narrow(position, size + 1, 1) / size if MEAN in selection.index else units


def _along(weight: Tensor, position: int, tensor: Tensor) -> Tensor:
    shape = [1] * tensor.ndim
    shape[position] = -1
    return weight.to(tensor.dtype).view(shape)


@lru_cache(maxsize=64)
def _tensors(selection: Selection, device: torch.device) -> tuple[Tensor, Tensor]:
    """Index and weight; ZERO points to a zero behind the source's units, MEAN to the mean behind that."""
    size = selection.source_size
    rows = {ZERO: size, MEAN: size + 1}
    # What is kept here serves a fit after an expansion too, and autograd takes no tensor of inference mode.
    with torch.inference_mode(False):
        index = torch.tensor([rows.get(unit, unit) for unit in selection.index], device=device)
        return index, torch.tensor(selection.weight, dtype=torch.float64, device=device)
