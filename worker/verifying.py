"""The verifying stage: stock source and target, loaded from what was written, on the same inputs."""

from growth.checkpoint import CheckpointReader
from growth.plan import GrowthPlan
from growth.verify import compare
from jobs.schema import Verification
from worker.corpus import Corpus
from worker.modules import build_module, fill_module, source_module
from worker.random_inputs import random_batch

_EXAMPLES = 2


def verify_output(
    plan: GrowthPlan, source: CheckpointReader, target: CheckpointReader, corpus: Corpus | None, *, device: str
) -> Verification:
    """Compare the written target with the source on the corpus' held-out tokens, or on seeded random inputs.

    Raises growth.verify.NotFinite where the target's outputs are not finite.
    """
    batches = [random_batch(plan.source, plan.seed, _EXAMPLES)] if corpus is None else corpus.held_out()
    modules = [source_module(plan, source, device=device), build_module(plan.target, device=device)]
    fill_module(modules[1], plan.target, [tensor.name for tensor in plan.tensors], target.tensor)
    moved = [{name: tensor.to(device) for name, tensor in batch.items()} for batch in batches]
    found = compare(plan, modules[0], modules[1], moved)
    return Verification(
        tokens=found.tokens,
        max_logit_difference=found.max_difference,
        max_logit=found.max_output,
        source_loss=found.source_loss,
        target_loss=found.target_loss,
    )
