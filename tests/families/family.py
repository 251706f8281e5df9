"""What the tests know of a family, told by hand from transformers' modelling code and never asked of its table."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

VOCAB_SIZE = 300
POSITIONS = 128
TOKENS: Mapping[str, Any] = {"vocab_size": VOCAB_SIZE, "bos_token_id": 0, "eos_token_id": 1, "pad_token_id": 2}
LABELS: Mapping[str, Any] = {"id2label": {str(label): f"L{label}" for label in range(7)}}
UNTIED: Mapping[str, Any] = {"tie_word_embeddings": False}
TIED: Mapping[str, Any] = {"tie_word_embeddings": True}


@dataclass(frozen=True)
class Target:
    """Sizes to grow to, and what a method and a family must be able to do for the function to stay."""

    sizes: Mapping[str, int]
    needs: frozenset[str]


def target(needs: str, **sizes: int) -> Target:
    """The target of these sizes; `needs`, by blanks apart:

    `width` a method that widens, `multiple` copies or padding of `hidden`, `fraction` padding of `hidden`, `depth`
    identity blocks, `unequal` heads that are copied unequally often, `impossible` what no method can do.
    """
    return Target(sizes, frozenset(needs.split()))


HIDDEN: Mapping[str, Target] = {
    "2x": target("width", hidden_size=64),
    "3x": target("width", hidden_size=96),
    "fractional": target("width fraction unequal", hidden_size=48),
    "intermediate": target("width", intermediate_size=200),
    "2x-odd-intermediate": target("width", hidden_size=64, intermediate_size=301),
}
DEPTH: Mapping[str, Target] = {
    "depth-2x": target("depth", num_hidden_layers=4),
    "depth-2.5x": target("depth", num_hidden_layers=5),
}
BOTH: Mapping[str, Target] = {
    "2x-and-depth": target("width depth", hidden_size=64, num_hidden_layers=3),
    "fractional-and-depth": target("width fraction unequal depth", hidden_size=48, num_hidden_layers=5),
}
ANY: Mapping[str, Target] = {**HIDDEN, **DEPTH, **BOTH}
"""For a family of 2 layers, 32 wide, in 4 heads."""
HEAD_DIM: Mapping[str, Target] = {
    "head_dim-2x": target("width", hidden_size=64, num_attention_heads=4),
    "head_dim-1.5x": target("width fraction", hidden_size=48, num_attention_heads=4),
    "heads-and-head_dim": target("width unequal", hidden_size=96, num_attention_heads=6),
    "heads-2x-head_dim-1.5x": target("width", hidden_size=96, head_dim=12),
}
"""Where positions are learned, so that heads may grow inside."""
ROTARY: Mapping[str, Target] = {"head_dim": target("impossible", head_dim=32)}
FREE_HEADS: Mapping[str, Target] = {"heads": target("width", num_attention_heads=8)}
"""Where the config names `head_dim`, so that heads grow without `hidden`."""
GROUPED: Mapping[str, Target] = {
    "kv_heads": target("width", num_key_value_heads=4),
    "heads-kept-kv": target("width", num_attention_heads=16, num_key_value_heads=4),
    "3x-smaller-groups": target("width", hidden_size=96, num_attention_heads=24, num_key_value_heads=6),
    "fractional-kv": target("width fraction unequal", hidden_size=48, num_attention_heads=12, num_key_value_heads=4),
}
"""For 4 heads over 2 key/value heads, with `head_dim` named by the config."""


@dataclass(frozen=True)
class Variant:
    """One tiny checkpoint: a class, and what its config has beside the family's."""

    kind: str
    config: Mapping[str, Any] = field(default_factory=dict)
    own_head: bool = False
    """Whether the head gets weights of its own where transformers ties it to begin with."""
    without: frozenset[str] = frozenset()
    """Names of targets that make no sense here."""


def token_inputs(**more: Tensor) -> dict[str, Tensor]:
    """Two seeded sequences of 12 tokens, none of them a special one."""
    return {"input_ids": torch.randint(3, VOCAB_SIZE, (2, 12), generator=torch.Generator().manual_seed(0)), **more}


@dataclass(frozen=True)
class Family:
    """A family of models."""

    model_type: str
    config: Mapping[str, Any]
    """Of the tiny checkpoints: 2 layers, 32 wide, 4 heads where nothing else is needed."""
    variants: Mapping[str, Variant]
    """By name; with a head and without, tied and untied, with every bias and grouping that the family knows."""
    targets: Mapping[str, Target]
    odd: Mapping[str, Any]
    """A config whose axes all have sizes of their own, so that a wrong label in the table shows."""
    odd_target: Mapping[str, int]
    """Larger sizes, which again differ from each other."""
    classes: Mapping[str, tuple[str, Mapping[str, Any]]]
    """Classes whose names and shapes must be the table's, each with what its config has beside `odd`."""
    prefix: str
    """Name of the base model inside the headed classes, with a dot."""
    tokenizer: str | None = "byte_level"
    inputs: Callable[[], dict[str, Tensor]] = token_inputs
    pads: bool = True
    """Whether padding of `hidden` can be exact."""
    deepens: bool = True
    """Whether a block can be an identity."""
    name: str = ""
    """Its own, where several have one `model_type`."""
    equal_heads: bool = False
    """Whether every head must have equally many copies."""

    def reaches(self, wanted: Target, *, widens: bool, pads: bool) -> bool:
        """Whether a method that can do this reaches `wanted` with the same function."""
        can = {
            "width": widens,
            "fraction": pads and self.pads,
            "depth": self.deepens,
            "unequal": not self.equal_heads,
            "impossible": False,
        }
        return all(can[need] for need in wanted.needs)
