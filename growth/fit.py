"""LiGO: fit an operator's factors on the module's own loss, the source's weights staying as they are.

Source: LiGO (arXiv 2303.00980), Algorithm 1. Every step grows all weights of the target through the operator, runs the
target module on one batch with them, and moves the factors alone.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from math import cos, pi
from typing import Protocol

import torch
from safetensors.torch import load, save
from torch import Tensor, nn
from torch.func import functional_call

from growth.apply import Grower
from growth.axes import Parameter, axis_sizes
from growth.matching import parameter_names
from growth.operators.learned import LearnedOperator
from growth.operators.ligo import Ligo
from growth.operators.operator import GrowthOperator
from growth.plan import GrowthPlan, TargetTensor
from growth.residual import Fetch, Residual, draw_residual

Batch = Mapping[str, Tensor]
"""Keyword arguments of the module, among them `labels` [batch, sequence] with -100 where no loss is taken."""
IGNORED_LABEL = -100


class Batches(Protocol):
    """Training batches in a fixed order, and the held-out ones."""

    def batch(self, step: int) -> Batch:
        """The batch of step `step` (from 0), the same at every call."""
        ...

    def held_out(self) -> Sequence[Batch]:
        """Batches that no step sees."""
        ...


@dataclass(frozen=True, slots=True)
class Point:
    """The losses of one step, nats per token; step 0 is the start, before any change."""

    step: int
    loss: float | None
    held_out_loss: float | None


@dataclass(slots=True)
class FitState:
    """Where a fit stands: what it takes to go on as if it had never stopped."""

    step: int
    factors: dict[str, Tensor]
    moments: dict[str, Tensor] = field(default_factory=dict)
    """AdamW's `exp_avg` and `exp_avg_sq` as `<factor>/exp_avg`."""
    curve: list[Point] = field(default_factory=list)

    def to_bytes(self) -> bytes:
        """The state as one safetensors file."""
        curve = [[p.step, _number(p.loss), _number(p.held_out_loss)] for p in self.curve]
        tensors = {f"factors/{name}": t for name, t in self.factors.items()}
        tensors |= {f"moments/{name}": t for name, t in self.moments.items()}
        tensors |= {"step": torch.tensor(self.step), "curve": torch.tensor(curve, dtype=torch.float64)}
        return bytes(save({name: t.detach().cpu().contiguous() for name, t in tensors.items()}))

    @classmethod
    def from_bytes(cls, data: bytes) -> "FitState":
        """The state that `to_bytes` wrote."""
        tensors = load(data)
        parts: dict[str, dict[str, Tensor]] = {"factors": {}, "moments": {}}
        for name, tensor in tensors.items():
            part, _, rest = name.partition("/")
            if rest:
                parts[part][rest] = tensor
        curve = [Point(int(s), _known(loss), _known(held_out)) for s, loss, held_out in tensors["curve"].tolist()]
        return cls(int(tensors["step"]), parts["factors"], parts["moments"], curve)


def _number(value: float | None) -> float:
    return float("nan") if value is None else value


def _known(value: float) -> float | None:
    return None if value != value else value


@dataclass(frozen=True, slots=True)
class FitOutcome:
    """A fitted operator and its losses."""

    operator: GrowthOperator
    curve: tuple[Point, ...]
    learned_numbers: int


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
    ) -> None:
        """`source` holds the source's tensors in float32 or wider by their name in the table; `module` is a target.

        The module's own weights are never read: they may lie on the meta device. It runs without dropout.
        """
        self._plan, self._options, self._batches, self._device = plan, options, batches, device
        self._source = {name: tensor.to(device) for name, tensor in source.items()}
        self._module = module.eval()
        self._names = _module_names(module, plan)
        table = dict.fromkeys(tensor.parameter for tensor in self._names.values())
        dtype = next(iter(source.values())).dtype
        self._learned = LearnedOperator(plan.operator, table, device=device, dtype=dtype)
        self._residuals: dict[str, Residual | None] = {}
        self._optimizer = torch.optim.AdamW(
            [
                {"params": self._learned.group("axes"), "lr": options.width_learning_rate},
                {"params": self._learned.group("depth"), "lr": options.depth_learning_rate},
            ],
            weight_decay=options.weight_decay,
        )
        self._peaks = [group["lr"] for group in self._optimizer.param_groups]
        self.state = FitState(0, {})

    def resume(self, state: FitState) -> None:
        """Go on from `state`."""
        self._learned.load(state.factors)
        for name, factor in self._learned.factors.items():
            moments = {key: state.moments[f"{name}/{key}"].to(factor.device) for key in ("exp_avg", "exp_avg_sq")}
            self._optimizer.state[factor] = {"step": torch.tensor(float(state.step)), **moments}
        self.state = state

    def run(
        self,
        on_point: Callable[[Point], None],
        save_state: Callable[[FitState], None],
        checkpoint_seconds: float = 60.0,
    ) -> FitOutcome:
        """Fit to the last step and return the operator.

        `on_point` takes the losses of every step; what it raises stops the fit. `save_state` takes the state every
        `checkpoint_seconds`.
        """
        if not self.state.curve:
            self._record(Point(0, None, self.held_out_loss()), on_point)
        saved_at = time.monotonic()
        while self.state.step < self._options.steps:
            self._record(self._step(), on_point)
            if time.monotonic() - saved_at >= checkpoint_seconds:
                save_state(self._snapshot())
                saved_at = time.monotonic()
        numbers = sum(factor.numel() for factor in self._learned.factors.values())
        return FitOutcome(self._learned.frozen(), tuple(self.state.curve), numbers)

    def gradients(self, batch: Batch) -> dict[str, Tensor]:
        """The loss's gradient by every factor, for one batch."""
        factors = self._learned.factors
        return dict(zip(factors, torch.autograd.grad(self._loss(batch), list(factors.values())), strict=True))

    @torch.no_grad()
    def held_out_loss(self) -> float:
        """Mean loss over the labelled tokens of the held-out batches, nats per token."""
        weights = self._weights()
        return mean_loss(
            lambda batch: functional_call(self._module, weights, kwargs=batch),
            [self._moved(batch) for batch in self._batches.held_out()],
            shifted=self._plan.source.architecture.objective == "causal_lm",
        )

    def _moved(self, batch: Batch) -> dict[str, Tensor]:
        return {name: tensor.to(self._device) for name, tensor in batch.items()}

    def _step(self) -> Point:
        step = self.state.step
        for group, peak in zip(self._optimizer.param_groups, self._peaks, strict=True):
            group["lr"] = peak * rate_factor(self._options, step)
        self._optimizer.zero_grad(set_to_none=True)
        loss = self._loss(self._batches.batch(step))
        loss.backward()  # type: ignore[no-untyped-call]
        if self._options.gradient_clip:
            nn.utils.clip_grad_norm_(list(self._learned.factors.values()), self._options.gradient_clip)
        self._optimizer.step()
        self.state.step = step + 1
        last = self.state.step == self._options.steps
        measured = last or self.state.step % self._options.held_out_every == 0
        return Point(self.state.step, loss.item(), self.held_out_loss() if measured else None)

    def _loss(self, batch: Batch) -> Tensor:
        outputs = functional_call(self._module, self._weights(), kwargs=self._moved(batch))
        loss: Tensor = outputs.loss
        return loss

    def _weights(self) -> dict[str, Tensor]:
        grower = Grower(self._learned.operator(), self._plan.source, self._plan.target, self._residual)
        return {name: self._grow(grower, tensor) for name, tensor in self._names.items()}

    def _grow(self, grower: Grower, tensor: TargetTensor) -> Tensor:
        return grower.grow(tensor.parameter, tensor.layer, self._fetch(tensor.parameter))

    def _fetch(self, parameter: Parameter) -> Fetch:
        return lambda layer: self._source[parameter.tensor_name(layer)]

    def _residual(self, parameter: Parameter, layer: int | None, fetch: Fetch) -> Residual | None:
        """The residual never changes during a fit: drawn once, kept on the device."""
        name = parameter.tensor_name(layer)
        if name not in self._residuals:
            sizes = axis_sizes(self._plan.target.sizes)
            drawn = draw_residual(self._plan.operator, parameter, layer, sizes, fetch)
            rows = parameter.shape(sizes)[0]
            self._residuals[name] = None if drawn is None else Residual.of(drawn.rows(0, rows).to(self._device))
        return self._residuals[name]

    def _record(self, point: Point, on_point: Callable[[Point], None]) -> None:
        self.state.curve.append(point)
        on_point(point)

    def _snapshot(self) -> FitState:
        moments: dict[str, Tensor] = {}
        for name, factor in self._learned.factors.items():
            kept = self._optimizer.state[factor]
            moments |= {f"{name}/{key}": kept[key] for key in ("exp_avg", "exp_avg_sq")}
        return FitState(self.state.step, dict(self._learned.factors), moments, list(self.state.curve))


def rate_factor(options: Ligo, step: int) -> float:
    """The share of the peak learning rate at step `step` (from 0): warm-up, then decay inside the step budget."""
    warmup = round(options.warmup_fraction * options.steps)
    if step < warmup:
        return (step + 1) / (warmup + 1)
    left = (options.steps - step) / (options.steps - warmup)
    if options.decay == "none":
        return 1.0
    return left if options.decay == "linear" else (1 + cos(pi * (1 - left))) / 2


class _Output(Protocol):
    @property
    def loss(self) -> Tensor: ...


def mean_loss(run: Callable[[dict[str, Tensor]], _Output], batches: Sequence[Batch], *, shifted: bool) -> float:
    """Mean loss over the labelled tokens or images of `batches`, whatever their number in each.

    `shifted`: the module tells each token from those before it, so that the first of a sequence takes no loss.
    """
    total, tokens = 0.0, 0
    for batch in batches:
        labels = batch["labels"][:, 1:] if shifted else batch["labels"]
        count = int((labels != IGNORED_LABEL).sum())
        total += run(dict(batch)).loss.item() * count
        tokens += count
    return total / tokens


def _module_names(module: nn.Module, plan: GrowthPlan) -> dict[str, TargetTensor]:
    """The plan's tensors under the names by which the module knows them."""
    planned = {tensor.name: tensor for tensor in plan.tensors}
    known = parameter_names(plan.target, dict(module.named_parameters()))
    missing = sorted(set(known.values()) - set(planned))
    assert not missing, f"the module has parameters that the plan lacks: {missing[:3]}"
    return {name: planned[stored] for name, stored in known.items()}
