"""The optimizer's state of a source: opened with the other inputs, grown and written beside the weights."""

import json
from collections.abc import Callable
from dataclasses import dataclass

from growth.checkpoint import CheckpointReader
from growth.optimizer_layout import FILE_ENDING, StatePlan, plan_both, read_state
from growth.optimizer_state import expand_state
from growth.plan import GrowthPlan
from jobs.schema import GrowthRequest
from storage import ObjectStore, Uri, WrittenObject
from storage.folder import file_or_folder
from worker.output import Output


@dataclass(frozen=True)
class OptimizerState:
    """A state as it is stored, and how it grows."""

    plan: StatePlan
    reader: CheckpointReader


def with_state(
    plan: GrowthPlan, request: GrowthRequest, store: ObjectStore
) -> tuple[GrowthPlan, OptimizerState | None]:
    """The plan with what it has to tell of the request's optimizer state, and that state, if any.

    Raises InvalidOptimizerState, StorageError.
    """
    if request.source_optimizer is None:
        return plan, None
    folder, file = file_or_folder(store, Uri.parse(request.source_optimizer), FILE_ENDING)
    tensors = read_state(folder, file)
    both, state = plan_both(plan, tensors, request.max_shard_bytes)
    return both, OptimizerState(state, CheckpointReader(folder, tensors))


def write_state(
    plan: GrowthPlan,
    state: OptimizerState,
    output: Output,
    attempt: int,
    on_progress: Callable[[float], None],
    device: str,
) -> list[WrittenObject]:
    """Grows the state into shards of its own and an index over them. Raises as `expand_state`."""
    shards = state.plan.shards
    open_shard = output.opener(attempt, len(shards), "optimizer")
    written = expand_state(plan, state.plan, state.reader, open_shard, on_progress, device)
    weight_map = {t.name: made.uri.name for shard, made in zip(shards, written, strict=True) for t in shard}
    index = {"metadata": {"total_size": state.plan.nbytes}, "weight_map": weight_map}
    data = (json.dumps(index, indent=2) + "\n").encode()
    return [*written, output.put(output.optimizer_index_name(attempt), data)]
