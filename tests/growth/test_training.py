"""The training of a source against a loop written by hand; its state; what it leaves alone."""

from collections.abc import Sequence
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from growth.fit import Batch, Point
from growth.training import Training, TrainingOptions, random_seed
from growth.untrained import untrained_source
from tests.families import FAMILIES
from tests.families.family import VOCAB_SIZE
from worker.modules import build_module

OPTIONS = TrainingOptions(steps=6, learning_rate=1e-2, decay="linear", weight_decay=1.0, held_out_every=2)
RATES = [1e-2 * left / 6 for left in (6, 5, 4, 3, 2, 1)]


class Batches:
    """Seeded ids."""

    def batch(self, step: int) -> Batch:
        ids = torch.randint(3, VOCAB_SIZE, (4, 16), generator=torch.Generator().manual_seed(step))
        return {"input_ids": ids, "labels": ids}

    def held_out(self) -> Sequence[Batch]:
        return [self.batch(-1 - number) for number in range(2)]


def training(name: str = "gpt2", seed: int = 0, **dropout: float) -> tuple[Training, nn.Module]:
    family = FAMILIES[name]
    config = untrained_source({**family.config, "model_type": family.model_type, **dropout}).config
    module = build_module(config, seed=seed)
    return Training(OPTIONS, config, module, Batches(), seed=seed), module


def quiet(_: object) -> None:
    return


def by_hand(module: Any, seed: int) -> list[float]:
    matrices = {id(p) for p in module.parameters() if p.ndim > 1}
    matrices -= {id(m.weight) for m in module.modules() if isinstance(m, nn.Embedding)}
    moments = {id(p): (torch.zeros_like(p), torch.zeros_like(p)) for p in module.parameters()}
    losses = []
    for step, rate in enumerate(RATES):
        torch.manual_seed(random_seed(seed, f"dropout {step}"))
        module.train().zero_grad()
        loss = module(**Batches().batch(step)).loss
        loss.backward()
        norm = sum(float(p.grad.double().square().sum()) for p in module.parameters()) ** 0.5
        with torch.no_grad():
            for p in module.parameters():
                gradient = p.grad / max(1.0, norm)
                first, second = moments[id(p)]
                first.lerp_(gradient, 0.1)
                second.lerp_(gradient.square(), 0.001)
                p.mul_(1 - rate * (1.0 if id(p) in matrices else 0.0))
                scale = (second / (1 - 0.999 ** (step + 1))).sqrt() + 1e-8
                p.sub_(rate * (first / (1 - 0.9 ** (step + 1))) / scale)
        losses.append(loss.item())
    return losses


@pytest.mark.parametrize("name", ["gpt2", "llama", "bert", "mixtral"])
def test_it_is_the_loop_written_by_hand(name: str) -> None:
    dropout: dict[str, Any] = {"gpt2": {"resid_pdrop": 0.2}, "bert": {"hidden_dropout_prob": 0.2}}.get(name, {})
    trained, module = training(name, **dropout)
    _, expected = training(name, **dropout)
    points: list[Point] = []
    before = torch.random.get_rng_state()
    trained.run(points.append, quiet, 60.0)
    assert torch.random.get_rng_state().equal(before)
    with torch.random.fork_rng(devices=[]):
        losses = by_hand(expected, seed=0)
    assert [point.loss for point in points[1:]] == pytest.approx(losses, rel=1e-4)
    for (told, one), other in zip(module.named_parameters(), expected.parameters(), strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=2e-4, msg=told)
    assert [point.step for point in points if point.held_out_loss is not None] == [0, 2, 4, 6]
    assert [point.step for point in trained.curve] == [0, 2, 4, 6]


def test_every_state_leads_to_the_same_weights() -> None:
    whole, expected = training(resid_pdrop=0.2)
    states: list[dict[str, Tensor]] = []
    whole.run(quiet, lambda state: states.append({name: tensor.clone() for name, tensor in state.items()}), 0.0)
    assert len(states) == OPTIONS.steps
    for state in states:
        resumed, module = training(seed=0, resid_pdrop=0.2)
        resumed.resume(state.__getitem__)
        resumed.run(quiet, quiet, 60.0)
        assert resumed.curve == whole.curve
        for one, other in zip(module.parameters(), expected.parameters(), strict=True):
            assert one.equal(other)
