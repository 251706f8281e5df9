"""AdamW's state as safetensors: three tensors for each parameter, checked against a plan from their headers alone.

    <parameter>.exp_avg       as the parameter   running mean of its gradients
    <parameter>.exp_avg_sq    as the parameter   running mean of their squares
    <parameter>.step          []                 optimizer steps behind them

Parameters are named as in the checkpoint; one that is tied to another has no state of its own. docs/optimizer-state.md
tells the same, and which files a folder may hold.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from math import prod

from growth.axes import Role
from growth.errors import InvalidCheckpoint, InvalidOptimizerState
from growth.header import FLOATING, TensorInfo
from growth.matching import canonical_name
from growth.operators.gradients import splits_groups, splits_unequally
from growth.operators.maps import MEAN, Selection
from growth.operators.operator import GrowthOperator, NoiseKind
from growth.plan import Dtype, GrowthPlan, TargetTensor, split_shards
from growth.source import PICKLED, Folder, read_sharded, read_single

MOMENTS = ("exp_avg", "exp_avg_sq")
STEP = "step"
KINDS = (*MOMENTS, STEP)
STATE_DTYPE: Dtype = "float32"
FILE_ENDING = ".safetensors"
_BYTES = 4
_INDEX = re.compile(r"optimizer[A-Za-z0-9._-]*\.safetensors\.index\.json")
_SINGLE = re.compile(r"optimizer[A-Za-z0-9._-]*\.safetensors")
_HINT = "growth.optimizer_state.save_adamw writes one; docs/optimizer-state.md describes it."


@dataclass(frozen=True, slots=True)
class StateTensor:
    """One tensor of the grown state: `kind` of the optimizer's memory of `tensor`."""

    tensor: TargetTensor
    kind: str

    @property
    def name(self) -> str:
        return f"{self.tensor.name}.{self.kind}"

    @property
    def shape(self) -> tuple[int, ...]:
        return () if self.kind == STEP else self.tensor.shape

    @property
    def nbytes(self) -> int:
        return _BYTES * prod(self.shape)


@dataclass(frozen=True, slots=True)
class StatePlan:
    """What is known of a grown optimizer state before a number of it is read."""

    source_tensors: Mapping[str, TensorInfo]
    """The source's state by `<parameter>.<kind>`, the parameter under its name in the table."""
    fresh: frozenset[str]
    """Names of parameters in the table that start without history."""
    shards: tuple[tuple[StateTensor, ...], ...]
    notes: tuple[str, ...]

    @property
    def nbytes(self) -> int:
        """Bytes of the grown state."""
        return sum(tensor.nbytes for shard in self.shards for tensor in shard)


def read_state(folder: Folder, file: str | None = None) -> dict[str, TensorInfo]:
    """The headers of the state in `file`, or in the folder's one index or file that is named `optimizer*`.

    Raises InvalidOptimizerState where there is none, or more than one, or it is no plain safetensors.
    """
    try:
        if file is not None:
            return read_single(folder, file)
        names = set(folder.names())
        indices = sorted(name for name in names if _INDEX.fullmatch(name))
        if indices:
            return read_sharded(folder, names, _only(indices))
        return read_single(folder, _only(sorted(filter(_SINGLE.fullmatch, names)) or [_missing(names)]))
    except InvalidCheckpoint as error:
        raise InvalidOptimizerState(str(error), hint=error.hint) from error


def _only(names: list[str]) -> str:
    if len(names) > 1:
        raise InvalidOptimizerState(
            f"The folder holds more than one optimizer state, {names[0][:80]} and {names[1][:80]}; name one of them."
        )
    return names[0]


def _missing(names: set[str]) -> str:
    pickled = sorted(name for name in names if name.startswith("optimizer") and name.endswith(PICKLED))
    if pickled:
        raise InvalidOptimizerState(
            f"The optimizer state {pickled[0][:80]} is a pickle, which can run code; only safetensors is read.",
            hint=_HINT,
        )
    raise InvalidOptimizerState("The folder holds no optimizer*.safetensors; export the state first.", hint=_HINT)


def plan_both(
    plan: GrowthPlan, tensors: Mapping[str, TensorInfo], max_shard_bytes: int
) -> tuple[GrowthPlan, StatePlan]:
    """`plan` with what there is to know of its state, and the plan of that. Raises as `plan_state`."""
    state = plan_state(plan, tensors, max_shard_bytes)
    return replace(plan, notes=(*plan.notes, *state.notes)), state


def plan_state(plan: GrowthPlan, tensors: Mapping[str, TensorInfo], max_shard_bytes: int) -> StatePlan:
    """The growth of the AdamW state with these headers beside that of the weights.

    Raises InvalidOptimizerState where the state is another optimizer's, is not of this source, or the method gives its
    weights no history.
    """
    _refuse_methods(plan)
    found = _match(plan, tensors)
    grown = [StateTensor(tensor, kind) for tensor in plan.tensors for kind in KINDS]
    notes = [f"The optimizer's state grows too, to {sum(tensor.nbytes for tensor in grown)} bytes."]
    fresh = _sharing(plan)
    if fresh:
        notes.append(f"Of {' and '.join(sorted(fresh))} no gradient is known alone, so their moments start at zero.")
    shards = split_shards(grown, max_shard_bytes)
    return StatePlan(found, fresh, shards, (*notes, *_approximations(plan)))


def _sharing(plan: GrowthPlan) -> frozenset[str]:
    """Parameters that were one in the source, a tied head and its embedding, and are two in the target."""
    users: dict[str, list[str]] = {}
    for name, info in plan.source_tensors.items():
        users.setdefault(info.name, []).append(name)
    return frozenset(name for names in users.values() if len(names) > 1 for name in names)


def _refuse_methods(plan: GrowthPlan) -> None:
    noise = plan.operator.noise
    if plan.method.fits:
        raise InvalidOptimizerState(
            f"Method {plan.method.name!r} mixes units by learned, dense maps, through which squares of gradients do "
            "not grow; leave source_optimizer out, or take a closed-form method."
        )
    if noise is not None and noise.kind is NoiseKind.INITIAL:
        raise InvalidOptimizerState(
            f"Method {plan.method.name!r} draws fresh weights, which have no history; leave source_optimizer out."
        )
    if plan.target.architecture is not plan.source.architecture:
        raise InvalidOptimizerState(
            "The target is of another family than the source, so its gradients are no copies of the source's; leave "
            "source_optimizer out."
        )


def _match(plan: GrowthPlan, tensors: Mapping[str, TensorInfo]) -> dict[str, TensorInfo]:
    rows = {row.name for row in plan.source.architecture.table(plan.source)}
    found: dict[str, TensorInfo] = {}
    for name, info in tensors.items():
        parameter, _, kind = name.rpartition(".")
        if kind not in KINDS or not parameter:
            raise InvalidOptimizerState(
                f"The optimizer state holds {name[:160]!r}, and AdamW has exp_avg, exp_avg_sq and step alone; state of "
                "other optimizers can't be grown.",
                hint=_HINT,
            )
        known = f"{_table_name(plan, rows, parameter)}.{kind}"
        if known in found:
            raise InvalidOptimizerState(
                f"The optimizer state holds {found[known].name[:120]!r} and {name[:120]!r}, two names of one tensor."
            )
        found[known] = info
    # A head that is untied has its source, and its state, in common with the embedding.
    needed: dict[str, tuple[str, tuple[int, ...]]] = {}
    for name, weight in plan.source_tensors.items():
        needed.setdefault(weight.name, (name, weight.shape))
    for name, shape in needed.values():
        for kind in KINDS:
            _check(f"{name}.{kind}", found.get(f"{name}.{kind}"), () if kind == STEP else shape)
    return found


def _table_name(plan: GrowthPlan, rows: set[str], parameter: str) -> str:
    name = canonical_name(plan.source, rows, parameter)
    if name not in plan.source_tensors and plan.source.tied:
        name = plan.source.architecture.tied_copies.get(name, name)
    if name not in plan.source_tensors:
        raise InvalidOptimizerState(
            f"The optimizer state is of a parameter {parameter[:160]!r}, which the source's weights do not have."
        )
    return name


def _check(name: str, info: TensorInfo | None, shape: tuple[int, ...]) -> None:
    if info is None:
        raise InvalidOptimizerState(
            f"The optimizer state has no {name!r}; every parameter needs all three.", hint=_HINT
        )
    if info.shape != shape:
        raise InvalidOptimizerState(
            f"The optimizer state has {name!r} of shape {list(info.shape)}, and the source's weights make it "
            f"{list(shape)}: they do not belong together."
        )
    if info.dtype not in FLOATING:
        raise InvalidOptimizerState(
            f"The optimizer state has {name!r} as {info.dtype}; quantised state can't be grown, so store it in float32."
        )


def _approximations(plan: GrowthPlan) -> list[str]:
    operator, source, target = plan.operator, plan.source.sizes, plan.target.sizes
    told = {
        "the grown model computes another function": not plan.function_preserving,
        "copies under a norm have unequal shares, which the norm mixes": any(
            splits_unequally(operator.axes[axis]) for axis in _normed_axes(plan) if axis in operator.axes
        ),
        "LayerNorm shifts the gradients of a padded residual stream by what all units share": (_takes_mean(operator)),
        "query heads of one group went to several copies of their key/value head": splits_groups(
            operator, source, target
        ),
    }
    return [f"The grown moments are an approximation: {reason}." for reason, holds in told.items() if holds]


def _normed_axes(plan: GrowthPlan) -> set[str]:
    gains = (row for row in plan.source.architecture.table(plan.source) if row.role is Role.NORM_GAIN)
    return {axis for row in gains for dim in row.dims for axis in dim.axes}


def _takes_mean(operator: GrowthOperator) -> bool:
    hidden = operator.axes.get("hidden")
    return hidden is not None and isinstance(hidden.expand, Selection) and MEAN in hidden.expand.index
