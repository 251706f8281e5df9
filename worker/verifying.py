"""The verifying stage: stock source and target, loaded from what was written, on the same inputs."""

from collections.abc import Sequence

import torch
from torch import Tensor

from growth.checkpoint import CheckpointReader
from growth.config import ModelConfig
from growth.fit import Batch
from growth.inputs import Input
from growth.plan import GrowthPlan
from growth.verify import compare
from jobs.schema import Verification
from worker.corpus import Corpus
from worker.modules import build_module, fill_module, source_module

_EXAMPLES = 2


def verify_output(
    plan: GrowthPlan, source: CheckpointReader, target: CheckpointReader, corpus: Corpus | None, *, device: str
) -> Verification:
    """Compare the written target with the source on the corpus' held-out tokens, or on seeded random inputs.

    Raises growth.verify.NotFinite where the target's outputs are not finite.
    """
    batches = _random_batches(plan.source, plan.seed) if corpus is None else corpus.held_out()
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


def _random_batches(config: ModelConfig, seed: int) -> Sequence[Batch]:
    generator = torch.Generator().manual_seed(seed)
    return [{read.name: _random(read, generator) for read in config.architecture.inputs(config)}]


def _random(read: Input, generator: torch.Generator) -> Tensor:
    shape = (_EXAMPLES, *read.shape)
    if read.vocabulary is None:
        return torch.randn(shape, generator=generator)
    return torch.randint(read.vocabulary, shape, generator=generator)
