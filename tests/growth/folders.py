"""A grown checkpoint in a folder of its own, as stock loaders expect it."""

from collections.abc import Callable
from pathlib import Path

from growth.checkpoint import CheckpointReader
from growth.local_folder import write_checkpoint
from growth.plan import GrowthPlan


def write_grown(
    plan: GrowthPlan,
    reader: CheckpointReader,
    folder: Path,
    on_progress: Callable[[float], None] = lambda _: None,
) -> Path:
    """Expand `plan` by its own operator into `folder`, and return that."""
    folder.mkdir(exist_ok=True)
    write_checkpoint(plan, plan.operator, reader, folder, on_progress)
    return folder
