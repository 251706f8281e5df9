"""One linear map along one dimension of a tensor: gathers for selections, a product for dense maps."""

from collections.abc import Sequence
from functools import lru_cache

import torch
from torch import Tensor

from growth.operators.dense import DenseMap
from growth.operators.maps import MEAN, ZERO, LinearMap, Selection


def apply_map(tensor: Tensor, linear_map: LinearMap, position: int) -> Tensor:
    """`linear_map` [T, S] applied along dimension `position` of `tensor`, whose size goes from S to T."""
    assert tensor.shape[position] == linear_map.source_size
    if isinstance(linear_map, DenseMap):
        matrix = linear_map.matrix.to(tensor.dtype)
        product: Tensor = torch.tensordot(tensor, matrix, dims=([position], [1]))
        return product.movedim(-1, position)
    assert isinstance(linear_map, Selection)
    return _gather(tensor, linear_map, position)


def split_dim(tensor: Tensor, position: int, sizes: Sequence[int]) -> Tensor:
    """Dimension `position` of `tensor` as one dimension for each of `sizes`; `merge_dims` undoes it."""
    return tensor.reshape([*tensor.shape[:position], *sizes, *tensor.shape[position + 1 :]])


def merge_dims(tensor: Tensor, position: int, count: int) -> Tensor:
    """`count` dimensions from `position` as one."""
    return tensor.flatten(position, position + count - 1)


def apply_transposed(tensor: Tensor, linear_map: LinearMap, position: int) -> Tensor:
    """The transpose of `linear_map` [T, S] applied along dimension `position`, whose size goes from T to S."""
    assert isinstance(linear_map, Selection)
    assert MEAN not in linear_map.index
    index, weight = _tensors(linear_map, tensor.device)
    weighted = tensor * _along(weight, position, tensor)
    shape = [*tensor.shape]
    shape[position] = linear_map.source_size + 1
    summed = torch.zeros(shape, dtype=tensor.dtype, device=tensor.device).index_add_(position, index, weighted)
    return summed.narrow(position, 0, linear_map.source_size)


def _gather(tensor: Tensor, selection: Selection, position: int) -> Tensor:
    if selection.is_identity:
        return tensor
    index, weight = _tensors(selection, tensor.device)
    if ZERO in selection.index or MEAN in selection.index:
        mean = tensor.mean(position, keepdim=True)
        tensor = torch.cat([tensor, torch.zeros_like(mean), mean], position)
    grown = tensor.index_select(position, index)
    if set(selection.weight) == {1.0}:
        return grown
    return grown * _along(weight, position, grown)


def _along(weight: Tensor, position: int, tensor: Tensor) -> Tensor:
    shape = [1] * tensor.ndim
    shape[position] = -1
    return weight.to(tensor.dtype).view(shape)


@lru_cache(maxsize=64)
def _tensors(selection: Selection, device: torch.device) -> tuple[Tensor, Tensor]:
    """Index and weight; ZERO points to a zero behind the source's units, MEAN to the mean behind that."""
    size = selection.source_size
    rows = {ZERO: size, MEAN: size + 1}
    index = torch.tensor([rows.get(unit, unit) for unit in selection.index], device=device)
    return index, torch.tensor(selection.weight, dtype=torch.float64, device=device)
