"""What a model's forward pass reads, told without torch, so that any model can be run on made-up inputs."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from growth.errors import InvalidData

if TYPE_CHECKING:
    from growth.config import ModelConfig

LENGTH = 64
TEXT_OBJECTIVES = frozenset({"causal_lm", "masked_lm"})
"""What running text alone trains; a corpus gives its labels."""


@dataclass(frozen=True, slots=True)
class Input:
    """One tensor of the forward pass."""

    name: str
    """The keyword under which the model takes it."""
    shape: tuple[int, ...]
    """Of one example, without the batch."""
    vocabulary: int | None = None
    """Token ids lie below it; None where the values are real numbers."""


def token_inputs(config: "ModelConfig") -> tuple[Input, ...]:
    """Token ids alone, at most as many as the model has positions."""
    length = min(LENGTH, config.sizes.fixed.get("positions", LENGTH))
    return (Input("input_ids", (length,), config.sizes.vocab_size),)


def reads_text(config: "ModelConfig") -> bool:
    """Whether running text is what the family is trained on."""
    return config.architecture.objective in TEXT_OBJECTIVES


def refuse_corpus(config: "ModelConfig") -> None:
    """Raises InvalidData where a corpus of text is of no use to the model."""
    if not reads_text(config):
        raise InvalidData(
            f"A {config.architecture.model_type} model is not trained on running text; leave the data out: the "
            "verification makes up inputs of its own.",
            field="/data",
        )
