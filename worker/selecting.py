"""The selecting stage: what a rule left open is grown in memory and measured, each candidate in the stock module.

Nothing of a candidate is written but its loss, which the next attempt takes over: whatever machine it runs on, it picks
the same.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, replace
from math import isfinite

import torch

from growth.apply import Grower
from growth.checkpoint import CheckpointReader
from growth.expand import grown_tensor
from growth.fit import mean_loss
from growth.operators.selection import Candidate
from growth.plan import GrowthPlan
from growth.stock_weights import fill_module
from jobs.schema import Candidate as CandidateTold
from worker.corpus import Corpus
from worker.fit_state import FitStates
from worker.modules import build_module

PlanOf = Callable[[Mapping[str, object]], GrowthPlan]
"""The same growth by another method."""


class Selecting:
    """The candidates of one plan, on the corpus of its job."""

    def __init__(
        self, plan: GrowthPlan, plan_of: PlanOf, reader: CheckpointReader, corpus: Corpus, *, device: str
    ) -> None:
        self._plan, self._plan_of, self._reader = plan, plan_of, reader
        self._corpus, self._device = corpus, device

    def picked(
        self,
        states: FitStates,
        on_measured: Callable[[CandidateTold], None],
        on_progress: Callable[[float], None],
    ) -> GrowthPlan:
        """The plan by the candidate with the lowest held-out loss; each loss is told, and saved, as it is known."""
        selection = self._plan.selection
        assert selection is not None
        saved = states.load()
        losses: dict[str, float | None] = {} if saved is None else json.loads(saved)
        for number, candidate in enumerate(selection.open, start=1):
            if candidate.label not in losses:
                losses[candidate.label] = self._loss(candidate)
                states.save(json.dumps(losses).encode())
            measured = replace(candidate, held_out_loss=losses[candidate.label])
            on_measured(CandidateTold.model_validate(asdict(measured)))
            on_progress(number / len(selection.open))
        picked = selection.measured(losses)
        plan = self._plan_of(picked.method)
        return replace(plan, selection=picked, notes=(*picked.notes(), *plan.notes))

    def _loss(self, candidate: Candidate) -> float | None:
        loss = held_out_loss(self._plan_of(candidate.method), self._reader, self._corpus, device=self._device)
        return round(loss, 4) if isfinite(loss) else None


@torch.no_grad()
def held_out_loss(plan: GrowthPlan, reader: CheckpointReader, corpus: Corpus, *, device: str) -> float:
    """Mean loss of the grown model over the labelled held-out tokens, nats per token; its weights as they are written.

    Memory: the target in float32, beside what the expansion takes.
    """
    module = build_module(plan.target, device=device).eval()
    grower = Grower(plan.operator, plan.source, plan.target)
    tensors = {tensor.name: tensor for tensor in plan.tensors}
    fill_module(module, plan.target, tensors, lambda name: grown_tensor(plan, grower, reader, tensors[name], device))
    batches = [{name: tensor.to(device) for name, tensor in batch.items()} for batch in corpus.held_out()]
    shifted = plan.source.architecture.objective == "causal_lm"
    return mean_loss(lambda batch: module(**batch), batches, shifted=shifted)
