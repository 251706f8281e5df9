"""A LiGO fit on batches that are already there, and what it costs."""

from growth.checkpoint import CheckpointReader
from growth.fit import Batches, Fit
from growth.operators.ligo import Ligo
from growth.operators.operator import GrowthOperator
from growth.plan import GrowthPlan
from worker.modules import build_module


def fitted(
    plan: GrowthPlan, reader: CheckpointReader, batches: Batches, step_flops: float
) -> tuple[GrowthOperator, float]:
    """The fitted operator and the fit's FLOPs: as it tells them, else a plain training step's for each step."""
    assert isinstance(plan.method, Ligo)
    source = {name: reader.wide(info.name) for name, info in plan.source_tensors.items()}
    outcome = Fit(plan, plan.method, source, build_module(plan.target), batches).run(lambda _: None, lambda _: None)
    told: float | None = getattr(outcome, "flops", None)
    return outcome.operator, plan.method.steps * step_flops if told is None else float(told)
