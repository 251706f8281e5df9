"""What a config leaves out is what transformers takes, in every family."""

from typing import Any

import pytest
import transformers

from growth.config import ModelConfig
from tests.families import FAMILIES


@pytest.mark.parametrize("family", FAMILIES)
def test_defaults_are_those_of_transformers(family: str) -> None:
    raw: dict[str, Any] = {**FAMILIES[family].odd, "model_type": FAMILIES[family].model_type}
    config, stock = ModelConfig.from_dict(raw), transformers.AutoConfig.for_model(**raw)
    key = config.architecture.norm.epsilon_key
    assert config.tied == getattr(stock, "tie_word_embeddings", False)
    assert not key or config.epsilon == getattr(stock, key)
    assert config.initializer_range == getattr(stock, config.architecture.initializer_range_key)
