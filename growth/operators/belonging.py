"""Whether an operator that was loaded can grow the source of a plan into its target."""

from collections.abc import Iterator, Mapping

from growth.axes import LAYER, SEPARATOR, Parameter, axis_sizes, product_size
from growth.errors import InvalidOperator
from growth.operators.maps import MAP_NAMES, MEAN, AxisMap, Selection
from growth.operators.operator import EVERY, WRITES, DepthMap, DepthMatrix, GrowthOperator, Noise, NoiseKind
from growth.plan import GrowthPlan
from growth.untying import unties

MOST_BYTES = 16 << 30
"""Of an operator's file, whatever the models."""
_LARGEST_NUMBER = 8
HEADER_BYTES = 16 << 20


def most_bytes(plan: GrowthPlan) -> int:
    """No operator between the two models of `plan` has a larger file, however it was made.

    As if every map and every depth matrix that may be there were, all dense and in float64, and grown by a fit besides.
    """
    source, target = axis_sizes(plan.source.sizes), axis_sizes(plan.target.sizes)
    keys = [label for labels in _mapped(_named(plan)).values() for label in labels]
    sizes = [(product_size(target, key), product_size(source, key)) for key in keys]
    numbers = sum(wide * (narrow + 4) + narrow * narrow for wide, narrow in sizes)
    # The maps of `axes/` and of `frame/`, each of them with what a fit has added to it.
    maps = 2 * 2 * len(MAP_NAMES) * numbers
    layers = plan.target.sizes.num_hidden_layers * plan.source.sizes.num_hidden_layers
    depths = (len(plan.tensors) + 3) * layers
    return min(HEADER_BYTES + _LARGEST_NUMBER * (maps + depths), MOST_BYTES)


def check_belongs(operator: GrowthOperator, plan: GrowthPlan) -> None:
    """Raises InvalidOperator where a map has other sizes, is missing, or is named for what the model has not."""
    _check_names(operator, plan)
    _check_axes("axes", operator.axes, plan)
    _check_depth(operator, plan)
    _check_complete(operator, plan)
    if operator.noise is not None:
        _check_noise(operator.noise, plan)
    if operator.epsilon_scale != plan.operator.epsilon_scale:
        raise InvalidOperator(
            f"The operator scales the norms' epsilon by {operator.epsilon_scale:g}, and this job's init by "
            f"{plan.operator.epsilon_scale:g}; name the init that the operator was fitted from.",
            field="/method/init",
        )
    if unties(plan.source, operator) != unties(plan.source, plan.operator):
        raise InvalidOperator(
            f"The operator scales what a tied head reads by {operator.readout_scale:g}, and this job's init by "
            f"{plan.operator.readout_scale:g}; name the init that the operator was fitted from.",
            field="/method/init",
        )


def _check_names(operator: GrowthOperator, plan: GrowthPlan) -> None:
    """What is named for nothing would be left out in silence."""
    named = _named(plan)
    labels = _mapped(named)
    for key in operator.axes:
        label, at, module = key.partition("@")
        if module not in labels:
            raise InvalidOperator(f"The operator maps axes/{key[:120]}, and the model has no such module.")
        if label not in labels[module] and (at or SEPARATOR in label):
            where, kind = ("that module", "axis") if at else ("the model", "product")
            raise InvalidOperator(f"The operator maps axes/{key[:120]}, and no tensor of {where} has such a {kind}.")
    layered = {name for name, parameter in named.items() if parameter.layered and LAYER in name}
    for key in operator.depth:
        if key not in layered | {EVERY, WRITES}:
            raise InvalidOperator(f"The operator mixes depth/{key[:120]}, and no layer has such a parameter.")


def _named(plan: GrowthPlan) -> dict[str, Parameter]:
    """The target's parameters, by their names with `{layer}` and by those of each layer."""
    return {name: t.parameter for t in plan.tensors for name in (t.name, t.parameter.name)}


def _mapped(named: Mapping[str, Parameter]) -> dict[str, set[str]]:
    """What a map may be of: in the model ("") and in each module."""
    labels: dict[str, set[str]] = {}
    for name, parameter in named.items():
        for module in ("", name.rpartition(".")[0]):
            labels.setdefault(module, set()).update(_labels(parameter))
    return labels


def _labels(parameter: Parameter) -> set[str]:
    """The axes of a tensor, and the products of axes that its dimensions are."""
    products = {SEPARATOR.join(segment) for dim in parameter.dims for segment in dim.segments}
    return products.union(*(dim.axes for dim in parameter.dims))


def _check_axes(part: str, axes: Mapping[str, AxisMap], plan: GrowthPlan) -> None:
    source, target = axis_sizes(plan.source.sizes), axis_sizes(plan.target.sizes)
    for key, axis_map in axes.items():
        label = key.partition("@")[0]
        wide, narrow = product_size(target, label), product_size(source, label)
        for name in MAP_NAMES:
            linear_map = axis_map.named(name)
            found = (linear_map.target_size, linear_map.source_size)
            if found != (wide, narrow):
                raise InvalidOperator(
                    f"The operator's map {part}/{key}/{name} is {found[0]} x {found[1]}, where the sizes of its models "
                    f"make it {wide} x {narrow}; fit it again."
                )
        if len(axis_map.new) != wide or len(axis_map.gain_fill) not in (0, wide):
            raise InvalidOperator(f"The operator's {part}/{key} has not {wide} units throughout; fit it again.")


def _check_depth(operator: GrowthOperator, plan: GrowthPlan) -> None:
    layers = (plan.target.sizes.num_hidden_layers, plan.source.sizes.num_hidden_layers)
    for key, matrix in _depth_matrices(operator):
        found = (matrix.target_layers, matrix.source_layers)
        if found != layers:
            raise InvalidOperator(
                f"The operator's matrix {key} is {found[0]} x {found[1]}, where its models' layers make it "
                f"{layers[0]} x {layers[1]}; fit it again."
            )
    if isinstance(operator.next_depth, DepthMap) and not all(operator.next_depth.rows):
        raise InvalidOperator("The operator's matrix next_depth has a row of zeros; fit it again.")


def _depth_matrices(operator: GrowthOperator) -> Iterator[tuple[str, DepthMatrix]]:
    yield from ((f"depth/{key}", matrix) for key, matrix in operator.depth.items())
    if operator.next_depth is not None:
        yield "next_depth", operator.next_depth


def _check_complete(operator: GrowthOperator, plan: GrowthPlan) -> None:
    source, target = axis_sizes(plan.source.sizes), axis_sizes(plan.target.sizes)
    for tensor in plan.tensors:
        parameter = tensor.parameter
        for axis in _mapped_alone(operator, parameter, tensor.layer):
            if source[axis] != target[axis] and operator.axis_map(axis, parameter, tensor.layer) is None:
                raise InvalidOperator(f"The operator has no map of {axis!r} for {tensor.name}; add axes/{axis}.")
        writes = parameter.writes_residual and WRITES in operator.depth
        if parameter.layered and not writes and operator.depth.keys().isdisjoint((parameter.name, EVERY)):
            raise InvalidOperator(f"The operator has no depth matrix for {parameter.name}; add depth/{EVERY}.")


def _mapped_alone(operator: GrowthOperator, parameter: Parameter, layer: int | None) -> set[str]:
    """The axes of a tensor that no map of a product of axes covers."""
    segments = {segment for dim in parameter.dims for segment in dim.segments}
    return {a for s in segments if operator.axis_map(SEPARATOR.join(s), parameter, layer) is None for a in s}


def _check_noise(noise: Noise, plan: GrowthPlan) -> None:
    _check_axes("frame", noise.frame, plan)
    layers = range(plan.source.sizes.num_hidden_layers)
    if len(noise.order) != plan.target.sizes.num_hidden_layers or any(layer not in layers for layer in noise.order):
        raise InvalidOperator("The operator's noise does not name a source layer for each target layer; fit it again.")
    if noise.groups < 1:
        raise InvalidOperator(f"The operator's noise has {noise.groups} groups; it must have one at least.")
    if noise.kind is NoiseKind.NULL_SPACE and not all(_closed_form(axis_map) for axis_map in noise.frame.values()):
        raise InvalidOperator("The operator's frame holds maps that no closed-form method makes; fit it again.")


def _closed_form(axis_map: AxisMap) -> bool:
    seen, contract = axis_map.seen, axis_map.contract
    return isinstance(seen, Selection) and isinstance(contract, Selection) and MEAN not in seen.index
