"""What a model's forward pass reads, told without torch, so that any model can be run on made-up inputs."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from growth.errors import InvalidData

if TYPE_CHECKING:
    from growth.config import ModelConfig

LENGTH = 64
TEXT_OBJECTIVES = frozenset({"causal_lm", "masked_lm"})
"""What running text alone trains; a corpus gives its labels."""
TEXT_FORMATS = ("text", "jsonl", "parquet", "tokens")
IMAGE_FORMATS = ("images", "parquet")


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


def reads_images(config: "ModelConfig") -> bool:
    """Whether labelled images are what the checkpoint's class is trained on, by a loss that it computes itself."""
    architecture = config.architecture
    return (
        architecture.objective == "image_classification" and config.model_class not in architecture.unlabelled_classes
    )


def reads_corpus(config: "ModelConfig") -> bool:
    """Whether there is data that the model can be fitted on."""
    return reads_text(config) or reads_images(config)


def refuse_corpus(config: "ModelConfig", data_format: str) -> None:
    """Raises InvalidData where data in this format is of no use to the model."""
    model_type = config.architecture.model_type
    if not reads_corpus(config):
        raise InvalidData(
            f"A {config.model_class or model_type} model is trained neither on running text nor on labelled images; "
            "leave the data out: the verification makes up inputs of its own.",
            field="/data",
        )
    taken, what = (TEXT_FORMATS, "text") if reads_text(config) else (IMAGE_FORMATS, "labelled images")
    if data_format not in taken:
        raise InvalidData(
            f"A {model_type} model reads {what}, and format {data_format!r} holds none; give {' or '.join(taken)}.",
            field="/data/format",
        )
