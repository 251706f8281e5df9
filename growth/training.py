"""Training a model from random weights: what a source is before it can grow.

AdamW as decoders and encoders are commonly trained with it: no decay of norms, biases and embeddings, a rate that warms
up and falls, a bound on the gradient. Whatever is random in a step is drawn from the seed and the step's number, so
that a training that was interrupted goes on to the same weights.
"""

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import blake2b

import torch
from torch import Tensor, nn

from growth.axes import LAYER, Role
from growth.config import ModelConfig
from growth.fit import Batch, Batches, Point, mean_loss
from growth.matching import parameter_names
from growth.schedule import Decay, rate_factor

_KEPT = (Role.NORM_GAIN, Role.NORM_BIAS, Role.BIAS, Role.EMBEDDING)
"""What has no weight decay."""
_MOMENTS = ("exp_avg", "exp_avg_sq")
_NUMBERS = "numbers"


@dataclass(frozen=True, slots=True)
class TrainingOptions:
    """How long and how fast a model is trained."""

    steps: int
    learning_rate: float = 1e-3
    warmup_fraction: float = 0.05
    decay: Decay = "cosine"
    weight_decay: float = 0.1
    beta1: float = 0.9
    beta2: float = 0.999
    gradient_clip: float = 1.0
    """The largest norm of the gradient; 0 is no clipping."""
    held_out_every: int = 50


class Training:
    """One training of one module, whose weights change in place; `run` takes it from its state to the last step."""

    def __init__(
        self,
        options: TrainingOptions,
        config: ModelConfig,
        module: nn.Module,
        batches: Batches,
        *,
        seed: int,
        device: str = "cpu",
    ) -> None:
        """`module` is the stock module of `config` on `device`."""
        self._options, self._module, self._batches = options, module, batches
        self._seed, self._device = seed, device
        self._shifted = config.architecture.objective == "causal_lm"
        self._parameters = {name: p for name, p in module.named_parameters() if p.requires_grad}
        decayed = _decayed(config, self._parameters)
        self._optimizer = torch.optim.AdamW(
            [
                {"params": [self._parameters[name] for name in names], "weight_decay": decay}
                for names, decay in (
                    ([name for name in self._parameters if name in decayed], options.weight_decay),
                    ([name for name in self._parameters if name not in decayed], 0.0),
                )
            ],
            lr=options.learning_rate,
            betas=(options.beta1, options.beta2),
        )
        self.step = 0
        self.curve: list[Point] = []
        """Of the steps at which the held-out loss was measured; step 0 is the start."""

    def resume(self, state: Callable[[str], Tensor]) -> None:
        """Go on from where the tensors that `state` gives by name were kept."""
        *curve, (step, _, _) = state(_NUMBERS).tolist()
        self.step = int(step)
        self.curve = [Point(int(at), None if loss != loss else loss, held_out) for at, loss, held_out in curve]
        for name, parameter in self._parameters.items():
            parameter.data.copy_(state(f"weights/{name}"))
            # A clone, because what was read may lie in memory that is used again.
            moments = {key: state(f"{key}/{name}").clone().to(self._device) for key in _MOMENTS}
            self._optimizer.state[parameter] = {"step": torch.tensor(float(self.step)), **moments}

    def state(self) -> dict[str, Tensor]:
        """All that it takes to go on from here, by name; float32, and the curve in float64."""
        kept: dict[str, Tensor] = {}
        for name, parameter in self._parameters.items():
            kept[f"weights/{name}"] = parameter.detach()
            moments = self._optimizer.state[parameter]
            kept |= {f"{key}/{name}": moments[key] for key in _MOMENTS}
        rows = [[p.step, _number(p.loss), _number(p.held_out_loss)] for p in self.curve]
        kept[_NUMBERS] = torch.tensor([*rows, [self.step, 0.0, 0.0]], dtype=torch.float64)
        return kept

    def run(
        self,
        on_point: Callable[[Point], None],
        save: Callable[[dict[str, Tensor]], None],
        checkpoint_seconds: float,
        save_now: Callable[[], bool] = lambda: False,
    ) -> None:
        """Train to the last step.

        `on_point` takes the losses of every step; what it raises stops the training. `save` takes the state every
        `checkpoint_seconds`, and after each step where `save_now` says so; what it raises stops the training, too.
        """
        with _own_random_numbers(self._device):
            if not self.curve:
                self._record(Point(0, None, self._held_out_loss()), on_point)
            saved_at = time.monotonic()
            while self.step < self._options.steps:
                self._record(self._train(), on_point)
                if save_now() or time.monotonic() - saved_at >= checkpoint_seconds:
                    save(self.state())
                    saved_at = time.monotonic()

    def _record(self, point: Point, on_point: Callable[[Point], None]) -> None:
        if point.held_out_loss is not None:
            self.curve.append(point)
        on_point(point)

    def _train(self) -> Point:
        for group in self._optimizer.param_groups:
            group["lr"] = self._options.learning_rate * rate_factor(self._options, self.step)
        torch.manual_seed(random_seed(self._seed, f"dropout {self.step}"))
        self._module.train()
        self._optimizer.zero_grad(set_to_none=True)
        loss: Tensor = self._module(**self._moved(self._batches.batch(self.step))).loss
        loss.backward()  # type: ignore[no-untyped-call]
        if self._options.gradient_clip:
            nn.utils.clip_grad_norm_(list(self._parameters.values()), self._options.gradient_clip)
        self._optimizer.step()
        self.step += 1
        measured = self.step == self._options.steps or self.step % self._options.held_out_every == 0
        return Point(self.step, loss.item(), self._held_out_loss() if measured else None)

    @torch.no_grad()
    def _held_out_loss(self) -> float:
        module = self._module.eval()
        moved = [self._moved(batch) for batch in self._batches.held_out()]
        return mean_loss(lambda batch: module(**batch), moved, shifted=self._shifted)

    def _moved(self, batch: Batch) -> dict[str, Tensor]:
        return {name: tensor.to(self._device) for name, tensor in batch.items()}


def random_seed(seed: int, purpose: str) -> int:
    """A seed of its own for each purpose."""
    digest = blake2b(f"{seed}/{purpose}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "little") >> 1


def _decayed(config: ModelConfig, names: Mapping[str, Tensor]) -> set[str]:
    kept = {row.name for row in config.architecture.table(config) if row.role in _KEPT}
    layered = {name: _templates(known) for name, known in parameter_names(config, names).items()}
    return {name for name, templates in layered.items() if kept.isdisjoint(templates)}


def _templates(name: str) -> set[str]:
    """The names that a row of the table may have whose tensor `name` is."""
    parts = name.split(".")
    return {name} | {".".join([*parts[:i], LAYER, *parts[i + 1 :]]) for i, part in enumerate(parts) if part.isdigit()}


def _number(value: float | None) -> float:
    return float("nan") if value is None else value


@contextmanager
def _own_random_numbers(device: str) -> Iterator[None]:
    """Whatever is drawn inside leaves the process' own generators as they were."""
    with torch.random.fork_rng(devices=[torch.device(device)] if device.startswith("cuda") else []):
        yield
