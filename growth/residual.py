"""The seeded residual of an operator: fresh units, noise that no activation reaches, or a whole fresh tensor.

Each tensor draws from a generator of its own, seeded by the operator's seed and the tensor's name, so that neither the
order of streaming nor the sharding changes a bit.
"""

from collections.abc import Callable, Mapping
from functools import reduce
from hashlib import blake2b
from math import prod

import torch
from torch import Tensor

from growth.axes import Dim, Parameter, Role, Side
from growth.config import ModelConfig
from growth.contraction import apply_map, apply_transposed, merge_dims, split_dim, wide
from growth.operators.maps import AxisMap
from growth.operators.operator import GrowthOperator, Noise, NoiseKind

Fetch = Callable[[int | None], Tensor]
"""The source's tensor of one parameter, as it is stored or wider, for a source layer (None outside the layers)."""

_MATRICES = (Role.LINEAR, Role.READOUT, Role.EMBEDDING)


def draw_residual(
    operator: GrowthOperator, parameter: Parameter, layer: int | None, sizes: Mapping[str, int], fetch: Fetch
) -> Tensor | None:
    """The residual of one target tensor, or None where there is none; `sizes` are the target's axis sizes."""
    noise = operator.noise
    if noise is None or parameter.role not in _MATRICES or not noise.scale:
        return None
    draw = _new_unit_residual if noise.kind is NoiseKind.NEW_UNITS else _null_space_residual
    source = wide(fetch(None if layer is None else noise.order[layer]))
    drawn = draw(noise, parameter, layer, sizes, source.dtype)
    return None if drawn is None else drawn.to(source.device) * source.float().std(correction=0)


def initial_tensor(
    noise: Noise, target: ModelConfig, parameter: Parameter, layer: int | None, shape: tuple[int, ...]
) -> Tensor:
    """A fresh tensor at the family's own initialisation (transformers' `_init_weights`)."""
    if parameter.role in _MATRICES:
        return _normal(noise, parameter, layer, shape) * (target.initializer_range * parameter.init_std)
    if parameter.role is Role.NORM_GAIN:
        return torch.full(shape, 1.0 - target.architecture.norm.gain_offset)
    return torch.zeros(shape)


def new_units(axes: Mapping[str, AxisMap], parameter: Parameter, sizes: Mapping[str, int]) -> Tensor | None:
    """A mask that broadcasts to the tensor: the entries that belong to new units of an axis that it produces.

    None where no axis that the tensor produces grows.
    """
    masks = [
        _along(_new_along(axes, dim, sizes), position, len(parameter.dims))
        for position, dim in enumerate(parameter.dims)
        if dim.side is Side.OUT and any(axis in axes for axis in dim.axes)
    ]
    return reduce(torch.logical_or, masks) if masks else None


def _along(vector: Tensor, position: int, ndim: int) -> Tensor:
    return vector.view([-1 if p == position else 1 for p in range(ndim)])


def _new_along(axes: Mapping[str, AxisMap], dim: Dim, sizes: Mapping[str, int]) -> Tensor:
    return torch.cat([reduce(_either, (_new_of(axes, axis, sizes) for axis in segment)) for segment in dim.segments])


def _new_of(axes: Mapping[str, AxisMap], axis: str, sizes: Mapping[str, int]) -> Tensor:
    return torch.tensor(axes[axis].new) if axis in axes else torch.zeros(sizes[axis], dtype=torch.bool)


def _either(outer: Tensor, inner: Tensor) -> Tensor:
    """A unit of a product of axes is new where it is new on either."""
    return (outer.unsqueeze(-1) | inner).flatten()


def _new_unit_residual(
    noise: Noise, parameter: Parameter, layer: int | None, sizes: Mapping[str, int], dtype: torch.dtype
) -> Tensor | None:
    mask = new_units(noise.frame, parameter, sizes)
    if mask is None:
        return None
    return _normal(noise, parameter, layer, parameter.shape(sizes)).to(dtype) * mask * noise.scale


def _null_space_residual(
    noise: Noise, parameter: Parameter, layer: int | None, sizes: Mapping[str, int], dtype: torch.dtype
) -> Tensor | None:
    """`Z - Z R C.T`: since `C.T R = I`, what is left vanishes on every activation that the grown model can produce."""
    reading = [(p, dim) for p, dim in enumerate(parameter.dims) if dim.side is Side.IN and dim.axes & set(noise.frame)]
    scale = noise.scale * prod(noise.column_scale.get(a, 1.0) for _, dim in reading for a in dim.axes)
    if not reading or not scale:
        return None
    drawn = _normal(noise, parameter, layer, parameter.shape(sizes)).to(dtype)
    for position, dim in reading:
        drawn = drawn - _reached(noise.frame, drawn, position, dim, sizes)
    return drawn * scale


def _reached(axes: Mapping[str, AxisMap], drawn: Tensor, position: int, dim: Dim, sizes: Mapping[str, int]) -> Tensor:
    (segment,) = dim.segments
    part = split_dim(drawn, position, [sizes[axis] for axis in segment])
    for offset, axis in enumerate(segment):
        if axis in axes:
            part = apply_transposed(part, axes[axis].seen, position + offset)
            part = apply_map(part, axes[axis].contract, position + offset)
    return merge_dims(part, position, len(segment))


def _normal(noise: Noise, parameter: Parameter, layer: int | None, shape: tuple[int, ...]) -> Tensor:
    name = f"{noise.seed}/{parameter.tensor_name(layer)}".encode()
    seed = int.from_bytes(blake2b(name, digest_size=8).digest(), "little") >> 1
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))
