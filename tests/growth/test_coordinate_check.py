"""The coordinate check: flat over an eightfold width under muP, and not at all under the standard parametrisation."""

from collections.abc import Mapping
from typing import Any

import pytest
import torch
from torch import Tensor

from growth.config import ModelConfig
from growth.coordinate_check import CoordinateCheck, spread
from growth.target import resolve_target
from tests.families import FAMILY_OF
from tests.families.family import VOCAB_SIZE
from worker.modules import build_module

WIDTHS = (32, 64, 128, 256)
RATE, STEPS = 0.01, 4


def tokens() -> dict[str, Tensor]:
    ids = torch.randint(3, VOCAB_SIZE, (4, 32), generator=torch.Generator().manual_seed(0))
    return {"input_ids": ids, "labels": ids}


def images() -> dict[str, Tensor]:
    draw = torch.Generator().manual_seed(0)
    return {
        "pixel_values": torch.randn(16, 2, 24, 24, generator=draw),
        "labels": torch.randint(7, (16,), generator=draw),
    }


def configs(variant: str) -> list[ModelConfig]:
    family, found = FAMILY_OF[variant], FAMILY_OF[variant].variants[variant]
    raw: Mapping[str, Any] = {**family.config, **found.config, "initializer_range": 0.1}
    base = ModelConfig.from_dict({**raw, "model_type": family.model_type, "architectures": [found.kind]})
    return [base.replaced(resolve_target(base, {"hidden_size": width})) for width in WIDTHS]


@pytest.mark.parametrize(
    "variant",
    [
        # A tied head and LayerNorm, a head of its own and grouped heads, one key/value head at every width, post-LN.
        "gpt2",
        "llama",
        "llama-mqa-tied",
        "bert",
        "vit",
    ],
)
def test_activations_are_as_large_at_every_width(variant: str) -> None:
    batch = images() if variant == "vit" else tokens()
    check = CoordinateCheck(lambda c, seed: build_module(c, seed=seed), batch, RATE, STEPS, seeds=(0, 1))
    found = check.run(configs(variant))
    mup, standard = spread(found, "mup", STEPS), spread(found, "standard", STEPS)
    assert len(mup) > 10
    assert mup.keys() == standard.keys()
    assert max(mup.values()) < 2.0, max(mup, key=mup.__getitem__)
    assert max(standard.values()) > 10.0
    assert {activation.width for activation in found} == set(WIDTHS)
