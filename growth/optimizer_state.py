"""AdamW's memory of a source, grown for its target: gradients grow with the maps' roles swapped, squares by squares.

    exp_avg' = D_out exp_avg R_in.T        exp_avg_sq' = (D_out * D_out) exp_avg_sq (R_in * R_in).T

`growth.operators.gradients` tells D and R. Layers copy the moments of the layers that they copy; new units and identity
blocks start with zero moments. `step` is kept; a tensor without any history starts at step 0, so that AdamW corrects
its first moments for that.
"""

from collections.abc import Callable, Collection, Iterator
from functools import cache
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from growth.apply import Grower
from growth.architectures import ARCHITECTURES
from growth.axes import Parameter
from growth.checkpoint import CheckpointReader
from growth.errors import InvalidOptimizerState
from growth.expand import ShardSink, Written, write_shards
from growth.local_folder import LocalFolder
from growth.matching import renamed
from growth.operators.gradients import Reach, bare, gradient_operator, reach_of
from growth.operators.operator import DepthMap, GrowthOperator
from growth.optimizer_layout import KINDS, MOMENTS, STATE_DTYPE, STEP, StatePlan, StateTensor, read_state
from growth.plan import GrowthPlan
from growth.residual import Fetch


class MomentGrower:
    """Grows the moments of one plan's parameters, tensor by tensor."""

    def __init__(self, plan: GrowthPlan) -> None:
        self._plan = plan
        self._weights = Grower(plan.operator, plan.source, plan.target)
        self._operator = cache(self._make_operator)
        self._grower = cache(lambda *which: Grower(self._operator(*which), plan.source, plan.target))

    def grow(self, parameter: Parameter, layer: int | None, kind: str, fetch: Fetch) -> Tensor:
        """The target's `kind` (`exp_avg`, `exp_avg_sq` or `step`) of `parameter` in target layer `layer`.

        `fetch` gives the source's tensor of the same kind for a source layer; in float64 where that is, else float32.
        """
        if kind == STEP:
            return self._step(parameter, layer, fetch)
        grower, scale = self._way(parameter, kind)
        return grower.grow(bare(parameter), layer, fetch) * scale

    def blocks(self, parameter: Parameter, layer: int | None, kind: str, fetch: Fetch) -> Iterator[Tensor]:
        """What `grow` gives in float32, a few rows at a time and in order."""
        if kind == STEP:
            yield self._step(parameter, layer, fetch).float()
            return
        grower, scale = self._way(parameter, kind)
        for block in grower.blocks(bare(parameter), layer, fetch, torch.float32):
            yield block if scale == 1.0 else block * scale

    def _way(self, parameter: Parameter, kind: str) -> tuple[Grower, float]:
        power = 1 + MOMENTS.index(kind)
        # A parameter that is stored as a multiple of what acts has that much smaller gradients.
        return self._grower(reach_of(parameter), power), self._weights.scale(parameter) ** -power

    def _make_operator(self, reach: Reach, power: int) -> GrowthOperator:
        plan = self._plan
        return gradient_operator(plan.operator, plan.source.sizes, plan.target.sizes, reach, power)

    def _step(self, parameter: Parameter, layer: int | None, fetch: Fetch) -> Tensor:
        if layer is None:
            return fetch(None)
        depth = self._operator(Reach.PLAIN, 1).depth_matrix(parameter)
        assert isinstance(depth, DepthMap)
        known = [source for source, _ in depth.rows[layer] if source not in parameter.absent_layers]
        return fetch(known[0]) if known else torch.zeros(())


def expand_state(
    plan: GrowthPlan,
    state: StatePlan,
    reader: CheckpointReader,
    open_shard: Callable[[int, int], ShardSink[Written]],
    on_progress: Callable[[float], None],
    device: str = "cpu",
) -> list[Written]:
    """Write every shard of `state`, in float32; as `growth.expand.expand`, which writes the weights.

    Raises InvalidOptimizerState where a moment of the source is not finite, or a mean of squares is negative.
    """
    grower = MomentGrower(plan)

    def grown(tensor: StateTensor) -> Iterator[Tensor]:
        row, layer = tensor.tensor.parameter, tensor.tensor.layer
        if row.name in state.fresh:
            return iter([torch.zeros(tensor.shape)])
        return grower.blocks(row, layer, tensor.kind, _source_fetch(state, reader, row, tensor.kind, device))

    return write_shards(state.shards, STATE_DTYPE, grown, open_shard, on_progress)


def _source_fetch(state: StatePlan, reader: CheckpointReader, parameter: Parameter, kind: str, device: str) -> Fetch:
    def fetch(layer: int | None) -> Tensor:
        info = state.source_tensors[f"{parameter.tensor_name(layer)}.{kind}"]
        tensor = reader.tensor(info.name).to(device)
        if not bool(tensor.isfinite().all()) or (kind != MOMENTS[0] and bool((tensor < 0).any())):
            raise InvalidOptimizerState(
                f"The optimizer state has {info.name[:160]!r} with values that AdamW can't have reached; take the "
                "state of an earlier step."
            )
        return tensor

    return fetch


def save_adamw(model: nn.Module, optimizer: torch.optim.AdamW, path: Path) -> None:
    """Write the optimizer's state as one safetensors file, its parameters named as in `model`, each once.

    Parameters without state, such as frozen ones, get zeros. Raises InvalidOptimizerState for another optimizer than
    AdamW, or its amsgrad form.
    """
    _refuse_others(optimizer)
    tensors: dict[str, Tensor] = {}
    for name, parameter in model.named_parameters():
        kept = optimizer.state.get(parameter) or _empty(parameter)
        tensors |= {f"{name}.{kind}": kept[kind].detach().cpu().contiguous() for kind in KINDS}
    save_file(tensors, path, metadata={"format": "pt"})


def load_adamw(path: Path, model: nn.Module, optimizer: torch.optim.AdamW) -> None:
    """Give `optimizer`, whose groups hold parameters of `model`, the state at `path`: a file, or the folder of a job.

    Learning rates and groups stay; tensors go to their parameters' device and dtype; a state that has never been
    stepped is left out. Raises InvalidOptimizerState where a parameter has no state there, or one of another shape.
    """
    _refuse_others(optimizer)
    reader, names = _open(path)
    called = {parameter: name for name, parameter in model.named_parameters()}
    state = {}
    for index, parameter in enumerate(p for group in optimizer.param_groups for p in group["params"]):
        known = _stored_name(called[parameter], model, names)
        found = {kind: reader.tensor(f"{known}.{kind}").clone() for kind in KINDS}
        if found[MOMENTS[0]].shape != parameter.shape:
            raise InvalidOptimizerState(
                f"The state of {known!r} has shape {list(found[MOMENTS[0]].shape)}, and the model's parameter "
                f"{list(parameter.shape)}; load the state beside the weights that it belongs to."
            )
        if found[STEP]:
            state[index] = found
    optimizer.load_state_dict({"state": state, "param_groups": optimizer.state_dict()["param_groups"]})


def _refuse_others(optimizer: torch.optim.Optimizer) -> None:
    if not isinstance(optimizer, torch.optim.AdamW):
        raise InvalidOptimizerState(
            f"{type(optimizer).__name__} is not torch.optim.AdamW, the one optimizer whose state can be grown."
        )
    if any(group["amsgrad"] for group in optimizer.param_groups):
        raise InvalidOptimizerState("AdamW with amsgrad keeps largest squares, which can't be grown; train without it.")


def _empty(parameter: Tensor) -> dict[str, Tensor]:
    zeros = torch.zeros(parameter.shape)
    return {MOMENTS[0]: zeros, MOMENTS[1]: zeros.clone(), STEP: torch.zeros(())}


def _open(path: Path) -> tuple[CheckpointReader, Collection[str]]:
    folder, file = (LocalFolder(path), None) if path.is_dir() else (LocalFolder(path.parent), path.name)
    tensors = read_state(folder, file)
    return CheckpointReader(folder, tensors), tensors.keys()


def _stored_name(name: str, model: nn.Module, stored: Collection[str]) -> str:
    """A checkpoint of a model without a head may carry the base model's prefix, and one with a head must.

    Some families write other names than their modules have.
    """
    prefix = f"{getattr(model, 'base_model_prefix', '')}."
    family = ARCHITECTURES.get(getattr(getattr(model, "config", None), "model_type", ""))
    written = name if family is None else renamed(family, name)
    for known in (name, written, f"{prefix}{written}", written.removeprefix(prefix)):
        if all(f"{known}.{kind}" in stored for kind in KINDS):
            return known
    raise InvalidOptimizerState(f"There is no state of the model's parameter {name!r}; load that of the same model.")
