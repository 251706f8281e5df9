"""LiGO: fit an operator's factors on the module's own loss, the source's weights staying as they are.

Source: LiGO (arXiv 2303.00980), Algorithm 1. Every step makes the target compute through the operator on one batch and
moves the factors alone.
"""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from growth.axes import axis_sizes
from growth.fit.batches import Batch, Batches
from growth.fit.module import GrownModule
from growth.fit.objective import Match, Objective, OwnLoss
from growth.fit.ranks import Ranks
from growth.fit.state import FitState, Point
from growth.fit.weights import SourceWeights
from growth.operators.learned import LearnedOperator
from growth.operators.ligo import Ligo
from growth.operators.operator import GrowthOperator
from growth.plan import GrowthPlan
from growth.schedule import rate_factor

TOKENS_IN_PART = 1024
"""On a CPU, where larger products are hardly faster."""
MOMENTUM = 0.9
"""Of plain gradient descent."""


@dataclass(frozen=True, slots=True)
class FitOutcome:
    """A fitted operator and its losses."""

    operator: GrowthOperator
    curve: tuple[Point, ...]
    learned_numbers: int
    flops_per_step: int
    """Of the products with matrices, forward and back."""
    factored: tuple[str, ...]
    """The target's matrices that were applied as factors; the others were written out in every step."""


class Fit:
    """One fit of one operator; `run` takes it from its state to the last step."""

    def __init__(
        self,
        plan: GrowthPlan,
        options: Ligo,
        source: Mapping[str, Tensor],
        module: nn.Module,
        batches: Batches,
        *,
        device: str = "cpu",
        source_module: nn.Module | None = None,
        ranks: Ranks | None = None,
    ) -> None:
        """`source` holds the source's tensors in float32 or wider by their name in the table; `module` is a target.

        The module's own weights are never read: they may lie on the meta device. It runs without dropout.
        `source_module` is the stock source, where it is what the target shall match (`objective`). `ranks` are the
        processes that share the fit; each builds one of its own from the same arguments.
        """
        self._options, self._batches, self._device = options, batches, device
        self._ranks = ranks or Ranks()
        self._objective: Objective = _objective(plan, options, source_module)
        weights = SourceWeights(plan, source, device=device, ranks=self._ranks)
        rows = dict.fromkeys(tensor.parameter for tensor in plan.tensors)
        self._learned = LearnedOperator(
            plan.operator,
            rows,
            axis_sizes(plan.source.sizes),
            options.structure,
            seed=plan.seed,
            device=device,
            dtype=weights.dtype,
        )
        tokens = _tokens(batches, options.batch_size, plan) // self._ranks.size
        self._parts = options.gradient_accumulation or _parts(tokens, device)
        self._module = GrownModule(
            plan,
            module,
            weights,
            self._learned.operator(),
            tokens=tokens,
            form=options.form,
            checkpointing=options.activation_checkpointing,
        )
        self._optimizer = _optimizer(options, self._learned)
        self._peaks = [group["lr"] for group in self._optimizer.param_groups]
        self.state = FitState(0, {})

    def resume(self, state: FitState) -> None:
        """Go on from `state`."""
        self._learned.load(state.factors)
        for name, factor in self._learned.factors.items():
            kept = {k.removeprefix(f"{name}/"): t for k, t in state.moments.items() if k.rpartition("/")[0] == name}
            moved = {key: tensor.to(factor.device) for key, tensor in kept.items()}
            self._optimizer.state[factor] = {"step": torch.tensor(float(state.step)), **moved}
        self.state = state

    def run(
        self,
        on_point: Callable[[Point], None],
        save_state: Callable[[FitState], None],
        checkpoint_seconds: float = 60.0,
        save_now: Callable[[], bool] = lambda: False,
    ) -> FitOutcome:
        """Fit to the last step and return the operator.

        `on_point` takes the losses of every step; what it raises stops the fit. `save_state` takes the state every
        `checkpoint_seconds`, and after each step where `save_now` says so; what it raises stops the fit, too.
        """
        if not self.state.curve:
            self._record(Point(0, None, self.held_out_loss()), on_point)
        saved_at = time.monotonic()
        while self.state.step < self._options.steps:
            self._record(self.step(), on_point)
            if save_now() or time.monotonic() - saved_at >= checkpoint_seconds:
                save_state(self._snapshot())
                saved_at = time.monotonic()
        return FitOutcome(
            self._learned.frozen(),
            tuple(self.state.curve),
            sum(factor.numel() for factor in self._learned.factors.values()),
            self.flops_per_step,
            tuple(name for name, form in self._module.forms.items() if form == "factored"),
        )

    def gradients(self, batch: Batch) -> dict[str, Tensor]:
        """The loss's gradient by every factor, for one batch."""
        self._optimizer.zero_grad(set_to_none=True)
        self._backward(batch)
        return {name: _gradient(factor) for name, factor in self._learned.factors.items()}

    @torch.no_grad()
    def held_out_loss(self) -> float:
        """The objective's mean over the held-out batches; of a loss nats per token, or image."""
        self._module.begin(self._learned.operator())
        sums = torch.zeros(2, dtype=torch.float64)
        for batch in self._batches.held_out():
            # Processes take turns at whole examples; who has none left runs one that counts for nothing.
            mine = {name: tensor[self._ranks.rank :: self._ranks.size].contiguous() for name, tensor in batch.items()}
            idle = not len(next(iter(mine.values())))
            run = {name: tensor[:1] for name, tensor in batch.items()} if idle else mine
            loss, count = self._loss(run), 0 if idle else self._objective.count(mine)
            sums += torch.tensor([loss.item() * count if count else 0.0, count], dtype=torch.float64)
        self._module.end()
        self._ranks.sum([sums])
        return float(sums[0] / sums[1])

    def _moved(self, batch: Batch) -> dict[str, Tensor]:
        return {name: tensor.to(self._device) for name, tensor in batch.items()}

    @property
    def flops_per_step(self) -> int:
        """Of the products with matrices, forward and back."""
        return self._module.flops_per_step

    def step(self) -> Point:
        """One step on the next batch, and its losses, which the state's curve takes only in `run`."""
        step = self.state.step
        for group, peak in zip(self._optimizer.param_groups, self._peaks, strict=True):
            group["lr"] = peak * rate_factor(self._options, step)
        self._optimizer.zero_grad(set_to_none=True)
        loss = self._backward(self._batches.batch(step))
        if self._options.gradient_clip:
            nn.utils.clip_grad_norm_(list(self._learned.factors.values()), self._options.gradient_clip)
        self._optimizer.step()
        self.state.step = step + 1
        last = self.state.step == self._options.steps
        measured = last or self.state.step % self._options.held_out_every == 0
        return Point(self.state.step, loss, self.held_out_loss() if measured else None)

    def _backward(self, batch: Batch) -> float:
        """Adds the gradient of the batch's mean loss to the factors', and returns that loss."""
        weights = self._module.begin(self._learned.operator())
        whole = self._objective.count(batch)
        total = torch.zeros(1, dtype=torch.float64)
        for part in self._ranks.share(batch, self._parts):
            count = self._objective.count(part)
            # Where the source is spread, all processes must run alike: there, every example has a label.
            if not count and not self._ranks.spread:
                continue
            loss = self._loss(part) * (count / whole)
            loss.backward()  # type: ignore[no-untyped-call]
            total += loss.item()
        weights.backward()
        self._module.end()
        self._ranks.sum([total])
        self._ranks.sum([factor.grad for factor in self._learned.factors.values() if factor.grad is not None])
        return total.item()

    def _loss(self, batch: Batch) -> Tensor:
        moved = self._moved(batch)
        dtype = torch.bfloat16 if self._options.autocast == "bfloat16" else None
        with torch.autocast(torch.device(self._device).type, dtype=dtype, enabled=dtype is not None):
            outputs = self._module.run(self._objective.inputs(moved))
            return self._objective.loss(outputs, moved, self._module.operator)

    def _record(self, point: Point, on_point: Callable[[Point], None]) -> None:
        self.state.curve.append(point)
        on_point(point)

    def _snapshot(self) -> FitState:
        moments = {
            f"{name}/{key}": tensor
            for name, factor in self._learned.factors.items()
            for key, tensor in self._optimizer.state[factor].items()
            if key != "step"
        }
        return FitState(self.state.step, dict(self._learned.factors), moments, list(self.state.curve))


def _objective(plan: GrowthPlan, options: Ligo, source: nn.Module | None) -> Objective:
    if options.matches(headed=plan.source.headed):
        assert source is not None, "to match the source takes its module"
        return Match(plan, source)
    return OwnLoss(shifted=plan.source.architecture.objective == "causal_lm")


def _optimizer(options: Ligo, learned: LearnedOperator) -> torch.optim.Optimizer:
    groups = [
        {"params": learned.group("axes"), "lr": options.width_learning_rate},
        {"params": learned.group("depth"), "lr": options.depth_learning_rate},
    ]
    groups = [group for group in groups if group["params"]]
    if options.optimizer == "sgd":
        return torch.optim.SGD(groups, momentum=MOMENTUM, weight_decay=options.weight_decay)
    return torch.optim.AdamW(groups, weight_decay=options.weight_decay)


def _gradient(factor: Tensor) -> Tensor:
    return torch.zeros_like(factor) if factor.grad is None else factor.grad


def _parts(tokens: int, device: str) -> int:
    return max(1, tokens // TOKENS_IN_PART) if device == "cpu" else 1


def _tokens(batches: Batches, batch_size: int, plan: GrowthPlan) -> int:
    """Tokens of one step, as the layers see them."""
    first = batches.held_out()[0]
    ids = first.get("input_ids")
    return batch_size * (plan.target.sizes.fixed["positions"] if ids is None else ids.shape[1])
