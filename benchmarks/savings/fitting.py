"""A LiGO fit on batches that are already there, and what it costs."""

from growth.checkpoint import CheckpointReader
from growth.fit import Batches, Fit
from growth.operators.ligo import Ligo
from growth.operators.operator import GrowthOperator
from growth.plan import GrowthPlan
from worker.modules import build_module


def fitted(
    plan: GrowthPlan, reader: CheckpointReader, batches: Batches, score_flops: float
) -> tuple[GrowthOperator, float]:
    """The fitted operator and the fit's FLOPs; `score_flops` are those of a step that attention scores take."""
    assert isinstance(plan.method, Ligo)
    source = {name: reader.wide(info.name) for name, info in plan.source_tensors.items()}
    outcome = Fit(plan, plan.method, source, build_module(plan.target), batches).run(lambda _: None, lambda _: None)
    return outcome.operator, plan.method.steps * (outcome.flops_per_step + score_flops)
