"""A fitted operator as one safetensors file, which can be applied again without a fit.

Tensors, S and T being the source's and the target's size of an axis, L_S and L_T their layers:

    axes/<key>/<map>            float32 [T, S]   a dense map: expand, contract, seen or gain; float64 where it was
                                                 fitted on weights stored so
    axes/<key>/<map>.index      int64 [T]        a sparse map: the source unit behind each row, -1 none, -2 the mean
    axes/<key>/<map>.weight     float64 [T]      its weight
    axes/<key>/<map>.rows       int64 [n]        rows of a sparse map to which a fit has added something (optional)
    axes/<key>/<map>.up         float32 [n, S]   what it has added, or the left factor [n, R] of it
    axes/<key>/<map>.down       float32 [R, S]   the right factor (optional)
    axes/<key>/new              bool [T]         units that are not a source unit in its own place
    axes/<key>/gain_fill        float64 [T]      added to grown gains (optional)
    frame/<axis>/...            as axes/         the closed-form maps behind the residual
    depth/<key>                 float32 [L_T, L_S], or float64
    next_depth                  float32 [L_T, L_S]  (optional)

`<key>` is an axis label or a product of axes such as `heads*head_dim`, which stands before the maps of its axes, or
either as `label@module` for one module, its name with `{layer}` for all layers or a number for one. Of a depth matrix
it is a parameter's name with `{layer}`, or `*` for every one without a matrix of its own, `*writes` for those among
them that write to the residual stream.
The metadata entry `operator` is JSON: format, source and target sizes, model_type, method, seed, readout_scale,
epsilon_scale, noise, and the names of the depth matrices that are sparse.
"""

import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from growth.axes import axis_sizes, product_size
from growth.errors import InvalidOperator
from growth.operators.belonging import check_belongs
from growth.operators.dense import DenseDepth, DenseMap, UpdatedMap, depth_matrix
from growth.operators.maps import MAP_NAMES, MEAN, AxisMap, LinearMap, Selection
from growth.operators.operator import DepthMap, DepthMatrix, GrowthOperator, Noise, NoiseKind
from growth.plan import GrowthPlan

FORMAT = "model-growth operator 1"


def save_operator(operator: GrowthOperator, plan: GrowthPlan) -> bytes:
    """The file of `operator`, with what `plan` tells of the two models and the method."""
    told = {
        "format": FORMAT,
        "model_type": plan.source.architecture.model_type,
        "source": plan.source.sizes.as_dict(),
        "target": plan.target.sizes.as_dict(),
        "method": plan.method.described(),
        "seed": plan.seed,
        "readout_scale": operator.readout_scale,
        "epsilon_scale": operator.epsilon_scale,
        "noise": _told_noise(operator.noise),
        "sparse_depth": [key for key, depth in operator.depth.items() if isinstance(depth, DepthMap)],
    }
    contiguous = {name: tensor.contiguous() for name, tensor in _operator_tensors(operator).items()}
    return bytes(save(contiguous, metadata={"operator": json.dumps(told, sort_keys=True)}))


def load_operator(data: bytes, plan: GrowthPlan) -> GrowthOperator:
    """The operator in `data`, checked to belong between the two models of `plan`.

    Raises InvalidOperator where the file is no operator, or its family, sizes or parts are others.
    """
    told = _told(data)
    _check_told(told, plan)
    try:
        tensors = load(data)
        operator = _assemble(told, tensors, axis_sizes(plan.source.sizes))
    except (SafetensorError, KeyError, TypeError, ValueError) as error:
        raise InvalidOperator(f"The operator file is damaged ({type(error).__name__}); fit it again.") from error
    check_belongs(operator, plan)
    left = sorted(tensors.keys() - _operator_tensors(operator).keys())
    if left:
        raise InvalidOperator(f"The operator file holds {left[0][:120]!r}, which no part of an operator reads.")
    return operator


def _operator_tensors(operator: GrowthOperator) -> dict[str, Tensor]:
    tensors: dict[str, Tensor] = {}
    for part, axes in (("axes", operator.axes), ("frame", operator.noise.frame if operator.noise else {})):
        for key, axis_map in axes.items():
            tensors |= _axis_tensors(f"{part}/{key}", axis_map)
    tensors |= {f"depth/{key}": depth_matrix(depth) for key, depth in operator.depth.items()}
    return tensors if operator.next_depth is None else tensors | {"next_depth": depth_matrix(operator.next_depth)}


def _axis_tensors(prefix: str, axis_map: AxisMap) -> dict[str, Tensor]:
    tensors = {f"{prefix}/new": torch.tensor(axis_map.new)}
    if axis_map.gain_fill:
        tensors[f"{prefix}/gain_fill"] = torch.tensor(axis_map.gain_fill, dtype=torch.float64)
    for name in MAP_NAMES:
        linear_map = axis_map.named(name)
        if isinstance(linear_map, DenseMap):
            tensors[f"{prefix}/{name}"] = linear_map.matrix
            continue
        start = linear_map.start if isinstance(linear_map, UpdatedMap) else linear_map
        assert isinstance(start, Selection)
        tensors[f"{prefix}/{name}.index"] = torch.tensor(start.index)
        tensors[f"{prefix}/{name}.weight"] = torch.tensor(start.weight, dtype=torch.float64)
        if isinstance(linear_map, UpdatedMap):
            tensors |= _update_tensors(f"{prefix}/{name}", linear_map)
    return tensors


def _update_tensors(prefix: str, updated: UpdatedMap) -> dict[str, Tensor]:
    tensors = {f"{prefix}.rows": torch.tensor(updated.rows, dtype=torch.int64), f"{prefix}.up": updated.up}
    return tensors if updated.down is None else tensors | {f"{prefix}.down": updated.down}


def _told_noise(noise: Noise | None) -> dict[str, Any] | None:
    if noise is None:
        return None
    return {
        "kind": noise.kind.value,
        "seed": noise.seed,
        "order": list(noise.order),
        "scale": noise.scale,
        "column_scale": dict(noise.column_scale),
        "groups": noise.groups,
    }


def _told(data: bytes) -> dict[str, Any]:
    try:
        length = int.from_bytes(data[:8], "little")
        told = json.loads(json.loads(data[8 : 8 + length])["__metadata__"]["operator"], parse_constant=_no_number)
        if told["format"] != FORMAT:
            raise ValueError(told["format"])
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise InvalidOperator(
            f"The operator file is not of the format {FORMAT!r}; give one that a job wrote."
        ) from error
    return dict(told)


def _no_number(word: str) -> float:
    raise ValueError(word)


def _check_told(told: Mapping[str, Any], plan: GrowthPlan) -> None:
    family = plan.source.architecture.model_type
    if told.get("model_type") != family:
        raise InvalidOperator(
            f"The operator was fitted for {str(told.get('model_type'))[:80]!r}, and the source is a {family}; fit a "
            "new one."
        )
    for side, config in (("source", plan.source), ("target", plan.target)):
        if told.get(side) != config.sizes.as_dict():
            raise InvalidOperator(
                f"The operator's {side} has other sizes than this job's, namely {str(told.get(side))[:300]}; fit a new "
                "one."
            )


def _assemble(told: Mapping[str, Any], tensors: Mapping[str, Tensor], sizes: Mapping[str, int]) -> GrowthOperator:
    for name, tensor in tensors.items():
        if not bool(torch.isfinite(tensor).all()):
            raise ValueError(name)
    sparse = set(told["sparse_depth"])
    keys = [name.removeprefix("depth/") for name in tensors if name.startswith("depth/")]
    noise = told["noise"]
    operator = GrowthOperator(
        axes=_axes("axes", tensors, sizes),
        depth={key: _depth(tensors[f"depth/{key}"], key in sparse) for key in keys},
        readout_scale=float(told["readout_scale"]),
        epsilon_scale=float(told["epsilon_scale"]),
        next_depth=_depth(tensors["next_depth"], sparse=True) if "next_depth" in tensors else None,
    )
    if noise is None:
        return operator
    return replace(
        operator,
        noise=Noise(
            kind=NoiseKind(noise["kind"]),
            seed=int(noise["seed"]),
            order=tuple(map(int, noise["order"])),
            scale=float(noise["scale"]),
            column_scale={axis: float(scale) for axis, scale in dict(noise["column_scale"]).items()},
            groups=int(noise.get("groups", 1)),
            frame=_axes("frame", tensors, sizes),
        ),
    )


def _axes(part: str, tensors: Mapping[str, Tensor], sizes: Mapping[str, int]) -> dict[str, AxisMap]:
    """The maps of one part of the file; `sizes` are the source's axis sizes."""
    keys = sorted({name.split("/")[1] for name in tensors if name.startswith(f"{part}/")})
    return {key: _axis_map(f"{part}/{key}", tensors, product_size(sizes, key.partition("@")[0])) for key in keys}


def _axis_map(prefix: str, tensors: Mapping[str, Tensor], source_size: int) -> AxisMap:
    maps = {name: _linear_map(f"{prefix}/{name}", tensors, source_size) for name in MAP_NAMES}
    fill = tensors.get(f"{prefix}/gain_fill")
    return AxisMap(
        **maps,
        new=tuple(_vector(tensors[f"{prefix}/new"], torch.bool)),
        gain_fill=() if fill is None else tuple(_vector(fill, torch.float64)),
    )


def _linear_map(name: str, tensors: Mapping[str, Tensor], source_size: int) -> LinearMap:
    if name in tensors:
        return DenseMap(_matrix(tensors[name]))
    index = _vector(tensors[f"{name}.index"], torch.int64)
    weight = _vector(tensors[f"{name}.weight"], torch.float64)
    if any(not MEAN <= unit < source_size for unit in index) or len(index) != len(weight):
        raise ValueError(name)
    start = Selection(tuple(index), tuple(weight), source_size)
    return _updated_map(name, start, tensors) if f"{name}.up" in tensors else start


def _updated_map(name: str, start: Selection, tensors: Mapping[str, Tensor]) -> UpdatedMap:
    rows, up = _vector(tensors[f"{name}.rows"], torch.int64), _matrix(tensors[f"{name}.up"])
    down = _matrix(tensors[f"{name}.down"]) if f"{name}.down" in tensors else None
    inner = up.shape[1] if down is None else down.shape[1]
    whole = len(rows) == len(set(rows)) == len(up) and all(0 <= row < start.target_size for row in rows)
    if not whole or inner != start.source_size or (down is not None and up.shape[1] != len(down)):
        raise ValueError(name)
    return UpdatedMap(start, tuple(rows), up, down)


def _depth(matrix: Tensor, sparse: bool) -> DepthMatrix:
    if not sparse:
        return DenseDepth(_matrix(matrix))
    rows = tuple(tuple((k, float(w)) for k, w in enumerate(row) if w) for row in _matrix(matrix).tolist())
    return DepthMap(rows, matrix.shape[1])


def _matrix(tensor: Tensor) -> Tensor:
    if tensor.ndim != 2 or not tensor.is_floating_point():
        raise ValueError(f"{tensor.dtype} {list(tensor.shape)}")
    return tensor


def _vector(tensor: Tensor, dtype: torch.dtype) -> list[Any]:
    if tensor.ndim != 1 or tensor.dtype is not dtype:
        raise ValueError(f"{tensor.dtype} {list(tensor.shape)}")
    return list(tensor.tolist())
