"""The coordinate check: how large every module's activations are after a few steps, over widths, with muP and without.

Under muP they depend on width neither at the start nor while the model learns; under the standard parametrisation some
grow with every step. It is how a parametrisation is tested. Source: arXiv 2203.03466, appendix D.1.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from statistics import fmean
from typing import Any, Literal

import torch
from torch import Tensor, nn

from growth.axes import Role
from growth.config import ModelConfig
from growth.fit import Batch
from growth.mutransfer import transfer
from growth.parameter_groups import initialise, named_tensors, param_groups
from growth.transfer_plan import Optimizer, TransferPlan

Parametrisation = Literal["standard", "mup"]
PARAMETRISATIONS: tuple[Parametrisation, ...] = ("standard", "mup")
Build = Callable[[ModelConfig, int], nn.Module]
"""(config, seed) -> the stock module of the config, at transformers' own initialisation."""
Scales = dict[str, float]
"""By the module's name."""
_CLASSES: Mapping[Optimizer, Callable[..., torch.optim.Optimizer]] = {
    "adamw": torch.optim.AdamW,
    "adam": torch.optim.Adam,
    "sgd": torch.optim.SGD,
}


@dataclass(frozen=True, slots=True)
class Activation:
    """How large the outputs of one module are: the mean of their absolute values."""

    parametrisation: Parametrisation
    width: int
    """`hidden_size`."""
    step: int
    """Updates before it."""
    module: str
    scale: float


@dataclass(frozen=True, slots=True)
class CoordinateCheck:
    """What is trained, and how."""

    build: Build
    batch: Batch
    """With labels; every step sees the same."""
    learning_rate: float
    steps: int = 4
    optimizer: Optimizer = "adamw"
    seeds: Sequence[int] = (0,)
    """Scales are means over them."""

    def run(self, configs: Sequence[ModelConfig]) -> list[Activation]:
        """Train a model of each config with both parametrisations; the first config is the base, where both agree.

        Raises what `growth.mutransfer.transfer` raises.
        """
        return list(self._activations(configs))

    def _activations(self, configs: Sequence[ModelConfig]) -> Iterator[Activation]:
        for parametrisation in PARAMETRISATIONS:
            for config in configs:
                runs = [self._train(parametrisation, configs[0], config, seed) for seed in self.seeds]
                for step in range(self.steps + 1):
                    for name in runs[0][step]:
                        scale = fmean(run[step][name] for run in runs)
                        yield Activation(parametrisation, config.sizes.hidden_size, step, name, scale)

    def _train(
        self, parametrisation: Parametrisation, base: ModelConfig, config: ModelConfig, seed: int
    ) -> list[Scales]:
        """The scales before each update and after the last."""
        # Tensors carry every factor, because what a config multiplies by is in no module's output.
        plan = transfer(base, config, optimizer=self.optimizer, config_factors=False)
        kind, rate, held = _CLASSES[self.optimizer], self.learning_rate, {}
        module = self.build(config, seed).train()
        if parametrisation == "mup":
            initialise(module, plan, seed)
            held = _held_for_head(module, plan)
            optimizer = kind(param_groups(module, plan, lr=rate), lr=rate)
        else:
            optimizer = kind(module.parameters(), lr=rate, weight_decay=0.0)
        history = []
        for _ in range(self.steps + 1):
            with _measured(module, held) as scales:
                loss: Tensor = module(**self.batch).loss
            history.append(scales)
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
        return history


def spread(found: Iterable[Activation], parametrisation: Parametrisation, step: int) -> dict[str, float]:
    """By module, the largest of its scales after `step` updates over the smallest, among the widths."""
    scales: dict[str, list[float]] = defaultdict(list)
    for activation in found:
        if activation.parametrisation == parametrisation and activation.step == step:
            scales[activation.module].append(activation.scale)
    return {module: max(values) / min(values) for module, values in scales.items() if min(values) > 0}


def _held_for_head(module: nn.Module, plan: TransferPlan) -> dict[nn.Module, float]:
    """The norms before a tied head, which hold a factor of the readout: what they give is measured without it."""
    rows = {name for factor in plan.factors if factor.name == "readout" for name in factor.parameters}
    gains = {row.name for row in plan.target.architecture.table(plan.target) if row.role is Role.NORM_GAIN}
    held = {
        parameter: plan.parameters[name].init_std
        for parameter, name in named_tensors(module, plan.target)
        if name in rows & gains
    }
    return {part: held[p] for part in module.modules() for p in part.parameters(recurse=False) if p in held}


@contextmanager
def _measured(module: nn.Module, held: Mapping[nn.Module, float]) -> Iterator[Scales]:
    """What each module gives is measured while it runs, over what it holds of a factor; of several calls the last."""
    scales: Scales = {}
    factors: dict[int, float] = {}

    def hook(name: str) -> Callable[[nn.Module, Any, Any], None]:
        def measure(part: nn.Module, _inputs: Any, output: Any) -> None:
            tensor = _first(output)
            if tensor is None or not tensor.is_floating_point():
                return
            if part in held:
                # The model around the norm gives the same tensor.
                factors[tensor.data_ptr()] = held[part]
            scales[name] = tensor.detach().abs().mean().item() / factors.get(tensor.data_ptr(), 1.0)

        return measure

    handles = [part.register_forward_hook(hook(name)) for name, part in module.named_modules() if name]
    try:
        yield scales
    finally:
        for handle in handles:
            handle.remove()


def _first(output: Any) -> Tensor | None:
    """The tensor that a module gives, or the first of several."""
    if isinstance(output, Tensor):
        return output
    values = output.values() if isinstance(output, Mapping) else output if isinstance(output, tuple) else ()
    return next((value for value in values if isinstance(value, Tensor)), None)
