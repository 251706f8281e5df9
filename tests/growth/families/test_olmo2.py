"""OLMo 2: norms over all heads together, whose new units start at 1 where a method adds fresh heads."""

from collections.abc import Mapping
from itertools import product

import pytest
import torch

from growth.errors import ImpossibleTarget
from growth.operators import parse_method
from growth.plan import make_plan
from tests.growth.growing import grown_tensors
from tests.growth.stock import stock_config, stock_tensors
from tests.growth.variants import Sources

WIDE = {
    "model_type": "olmo2",
    "hidden_size": 96,
    "intermediate_size": 64,
    "num_hidden_layers": 1,
    "num_attention_heads": 6,
    "num_key_value_heads": 3,
    "vocab_size": 50,
}


def test_fresh_heads_start_with_a_gain_of_one(sources: Sources) -> None:
    source = sources("olmo2")
    grown = grown_tensors(source.plan({"hidden_size": 96}, "pad"), source.reader)
    for name, heads in (("q_norm", 4), ("k_norm", 2)):
        key = f"model.layers.1.self_attn.{name}.weight"
        gain = grown[key].view(-1, 8)
        fresh = (gain == 1).all(1)
        assert int((~fresh).sum()) == heads
        assert torch.equal(gain[~fresh].flatten(), source.reader.tensor(key))


TARGETS = [
    {"hidden_size": hidden, "num_attention_heads": heads}
    for hidden, heads in product(range(97, 300), range(6, 40))
    if hidden % heads == 0 and heads % 6
]


@pytest.mark.parametrize("target", TARGETS[::7], ids=str)
def test_unequal_heads_are_refused_with_sizes_that_work(target: Mapping[str, int]) -> None:
    config, tensors = stock_config("Olmo2ForCausalLM", WIDE), stock_tensors("Olmo2ForCausalLM", WIDE)
    with pytest.raises(ImpossibleTarget) as refused:
        make_plan(config, tensors, target, parse_method("lemon"))
    nearest = {**target, **refused.value.nearest}
    assert make_plan(config, tensors, nearest, parse_method("lemon")).function_preserving
