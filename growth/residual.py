"""The seeded residual of an operator: fresh units, noise that no activation reaches, or a whole fresh tensor.

Each block of rows draws from a generator of its own, seeded by the operator's seed, the tensor's name and the block's
number, so that neither the order of streaming nor the sharding changes a bit.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from hashlib import blake2b
from math import log, prod, sqrt

import torch
from torch import Tensor

from growth.axes import SEPARATOR, Dim, Parameter, Role, Side
from growth.config import ModelConfig
from growth.contraction import apply_map, apply_transposed, merge_dims, split_dim, wide
from growth.operators.maps import AxisMap
from growth.operators.operator import GrowthOperator, Noise, NoiseKind

Fetch = Callable[[int | None], Tensor]
"""The source's tensor of one parameter, as it is stored or wider, for a source layer (None outside the layers)."""

_MATRICES = (Role.LINEAR, Role.READOUT, Role.EMBEDDING)
_BLOCK = 1 << 20
"""Numbers in a block."""


@dataclass(frozen=True, slots=True)
class Residual:
    """The residual of one target tensor, given by rows."""

    rows: Callable[[int, int], Tensor]
    """(start, stop) -> the rows from `start` to before `stop`."""

    @classmethod
    def of(cls, tensor: Tensor) -> "Residual":
        """The residual that has been drawn already."""
        return cls(lambda start, stop: tensor[start:stop])


def drawn_tensor(seed: int, name: str, shape: tuple[int, ...]) -> Tensor:
    """The tensor `name` of independent normal numbers, a standard deviation of 1; `seed` and name tell every bit."""
    return _normal_block(f"{seed}/{name}", shape)


def rows_per_block(shape: Sequence[int]) -> int:
    """Rows of a tensor that are drawn, computed and written together: few enough to stay in a processor's cache."""
    return max(1, _BLOCK // max(1, prod(shape[1:])))


def draw_residual(
    operator: GrowthOperator, parameter: Parameter, layer: int | None, sizes: Mapping[str, int], fetch: Fetch
) -> Residual | None:
    """The residual of one target tensor, or None where there is none; `sizes` are the target's axis sizes."""
    noise = operator.noise
    if noise is None or parameter.role not in _MATRICES or not noise.scale:
        return None
    draw = _new_unit_rows if noise.kind is NoiseKind.NEW_UNITS else _null_space_rows
    unit = draw(noise, parameter, layer, sizes)
    if unit is None:
        return None
    source = fetch(None if layer is None else noise.order[layer])
    scale = spread(source)
    dtype, device = scale.dtype, scale.device
    return Residual(lambda start, stop: unit(start, stop, dtype).to(device) * scale)


def spread(tensor: Tensor) -> Tensor:
    """The standard deviation of all entries, without a wider copy of the tensor."""
    pieces = torch.split(tensor.flatten(), _BLOCK)
    mean = torch.stack([piece.double().sum() for piece in pieces]).sum() / tensor.numel()
    squares = torch.stack([(piece.double() - mean).square().sum() for piece in pieces])
    return (squares.sum() / tensor.numel()).sqrt().to(wide(tensor).dtype)


def initial_rows(
    noise: Noise, target: ModelConfig, parameter: Parameter, layer: int | None, shape: tuple[int, ...]
) -> Residual:
    """A fresh tensor at the family's own initialisation (transformers' `_init_weights`)."""
    if parameter.sinusoidal:
        return Residual.of(_sinusoids(*shape))
    if parameter.role in _MATRICES:
        scale = target.initializer_range * parameter.init_std
        return Residual(lambda start, stop: _normal(noise, parameter, layer, shape, start, stop) * scale)
    value = 1.0 - target.norm.gain_offset if parameter.role is Role.NORM_GAIN else 0.0
    return Residual.of(torch.full(shape, value))


def _sinusoids(length: int, channels: int, longest: float = 10_000.0) -> Tensor:
    """Positions by sines and cosines, [length, channels]. Source: arXiv 1706.03762, section 3.5."""
    half = channels // 2
    rates = torch.exp(-log(longest) / max(1, half - 1) * torch.arange(half))
    angles = torch.arange(length).unsqueeze(1) * rates
    return torch.cat([angles.sin(), angles.cos()], 1)


MapOf = Callable[[str], AxisMap | None]
"""The maps of an axis or of a product of axes, for one tensor; None where there are none."""


def new_units(map_of: MapOf, parameter: Parameter, sizes: Mapping[str, int]) -> Tensor | None:
    """A mask that broadcasts to the tensor: the entries that belong to new units of an axis that it produces.

    None where no axis that the tensor produces grows.
    """
    masks = [
        _along(_new_along(map_of, dim, sizes), position, len(parameter.dims))
        for position, dim in enumerate(parameter.dims)
        if dim.side is Side.OUT and any(map_of(label) for label in (*dim.axes, *map(SEPARATOR.join, dim.segments)))
    ]
    return reduce(torch.logical_or, masks) if masks else None


def _along(vector: Tensor, position: int, ndim: int) -> Tensor:
    return vector.view([-1 if p == position else 1 for p in range(ndim)])


def _new_along(map_of: MapOf, dim: Dim, sizes: Mapping[str, int]) -> Tensor:
    return torch.cat([_new_in(map_of, segment, sizes) for segment in dim.segments])


def _new_in(map_of: MapOf, segment: tuple[str, ...], sizes: Mapping[str, int]) -> Tensor:
    whole = map_of(SEPARATOR.join(segment))
    if whole is not None:
        return torch.tensor(whole.new)
    return reduce(_either, (_new_of(map_of(axis), sizes[axis]) for axis in segment))


def _new_of(axis_map: AxisMap | None, size: int) -> Tensor:
    return torch.zeros(size, dtype=torch.bool) if axis_map is None else torch.tensor(axis_map.new)


def _either(outer: Tensor, inner: Tensor) -> Tensor:
    """A unit of a product of axes is new where it is new on either."""
    return (outer.unsqueeze(-1) | inner).flatten()


_Rows = Callable[[int, int, torch.dtype], Tensor]
"""(start, stop, dtype) -> rows of a residual at a standard deviation of 1."""


def _new_unit_rows(noise: Noise, parameter: Parameter, layer: int | None, sizes: Mapping[str, int]) -> _Rows | None:
    mask = _met(noise, parameter, sizes)
    if mask is None:
        return None
    shape = parameter.shape(sizes)

    def rows(start: int, stop: int, dtype: torch.dtype) -> Tensor:
        met = mask if len(mask) == 1 else mask[start:stop]
        return _normal(noise, parameter, layer, shape, start, stop).to(dtype) * met * noise.scale

    return rows


def _met(noise: Noise, parameter: Parameter, sizes: Mapping[str, int]) -> Tensor | None:
    """What broadcasts to the tensor: the factor of each entry, zero where it is not drawn; None where none is."""
    mask = new_units(noise.frame.get, parameter, sizes)
    read = None if mask is None else _read(noise, parameter, mask, sizes)
    return mask if mask is None or read is None else mask * read


def _read(noise: Noise, parameter: Parameter, new: Tensor, sizes: Mapping[str, int]) -> Tensor | None:
    """What new units in groups read, [rows, columns]: their own part of the input, louder for being smaller.

    None where all read everything. In each segment of what a matrix produces, groups follow each other.
    """
    sides = [dim.side for dim in parameter.dims]
    if noise.groups == 1 or sorted(side.value for side in sides) != ["in", "out"]:
        return None
    produces, reads = (sides.index(side) for side in (Side.OUT, Side.IN))
    inputs = torch.arange(parameter.shape(sizes)[reads])
    part = inputs * noise.groups // len(inputs)
    fresh = torch.split(new.flatten(), parameter.dims[produces].segment_sizes(sizes))
    group = torch.cat([_group(segment, noise.groups) for segment in fresh])
    met = group.unsqueeze(1) == part
    return (met if produces == 0 else met.T) * sqrt(noise.groups)


def _group(new: Tensor, groups: int) -> Tensor:
    """The group of each new unit; of the others it means nothing."""
    number = new.cumsum(0) - 1
    return number.clamp(min=0) * groups // max(1, int(new.sum()))


def _null_space_rows(noise: Noise, parameter: Parameter, layer: int | None, sizes: Mapping[str, int]) -> _Rows | None:
    """`Z - Z R C.T`: since `C.T R = I`, what is left vanishes on every activation that the grown model can produce."""
    reading = [(p, dim) for p, dim in enumerate(parameter.dims) if dim.side is Side.IN and dim.axes & set(noise.frame)]
    scale = noise.scale * prod(noise.column_scale.get(a, 1.0) for _, dim in reading for a in dim.axes)
    if not reading or not scale:
        return None
    shape = parameter.shape(sizes)

    def rows(start: int, stop: int, dtype: torch.dtype) -> Tensor:
        drawn = _normal(noise, parameter, layer, shape, start, stop).to(dtype)
        for position, dim in reading:
            drawn = drawn - _reached(noise.frame, drawn, position, dim, sizes)
        return drawn * scale

    if not any(position == 0 for position, _ in reading):
        return rows
    # What reads along the rows mixes all of them.
    return lambda start, stop, dtype: rows(0, shape[0], dtype)[start:stop]


def _reached(axes: Mapping[str, AxisMap], drawn: Tensor, position: int, dim: Dim, sizes: Mapping[str, int]) -> Tensor:
    (segment,) = dim.segments
    part = split_dim(drawn, position, [sizes[axis] for axis in segment])
    for offset, axis in enumerate(segment):
        if axis in axes:
            part = apply_transposed(part, axes[axis].seen, position + offset)
            part = apply_map(part, axes[axis].contract, position + offset)
    return merge_dims(part, position, len(segment))


def _normal(
    noise: Noise, parameter: Parameter, layer: int | None, shape: tuple[int, ...], start: int, stop: int
) -> Tensor:
    """The rows from `start` to before `stop`, whole blocks of which each has a generator of its own."""
    step = rows_per_block(shape)
    assert start % step == 0
    blocks = [
        _normal_block(
            f"{noise.seed}/{parameter.tensor_name(layer)}/{first // step}", (min(step, stop - first), *shape[1:])
        )
        for first in range(start, stop, step)
    ]
    return blocks[0] if len(blocks) == 1 else torch.cat(blocks)


def _normal_block(name: str, shape: tuple[int, ...]) -> Tensor:
    seed = int.from_bytes(blake2b(name.encode(), digest_size=8).digest(), "little") >> 1
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))
