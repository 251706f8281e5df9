"""The search space of a hyper-parameter search: for each hyper-parameter, the values that trials may take."""

from typing import Annotated, Literal, Self

from pydantic import Discriminator, Field, Tag, model_validator

from jobs.schema import WHOLE_NUMBER, Closed

MAX_CHOICES = 64
MAX_EXPONENT = 40

Name = Literal[
    "learning_rate",
    "weight_decay",
    "warmup_fraction",
    "beta1",
    "beta2",
    "gradient_clip",
    "batch_size",
    "initializer_range",
]


class Range(Closed):
    """Every value from `low` to `high`, both included; of a whole number, the whole ones."""

    low: float
    high: float
    log: bool = False
    """Drawn evenly over the logarithm, as suits what spans orders of magnitude."""
    step: Annotated[float | None, Field(gt=0)] = None
    """Only `low`, `low + step`, and so on; not together with `log`."""

    @model_validator(mode="after")
    def _holds_something(self) -> Self:
        if self.low > self.high:
            raise ValueError(f"it is empty: its low {self.low:g} lies above its high {self.high:g}; swap them")
        if self.log and self.low <= 0:
            raise ValueError("a logarithmic range starts above 0")
        if self.log and self.step is not None:
            raise ValueError("a range has either a step or a logarithmic scale; leave one of them out")
        return self


class PowersOfTwo(Closed):
    """2 to the power of every whole number between two, both included: the grid that muTransfer is drawn over."""

    powers_of_two: tuple[
        Annotated[int, Field(strict=True, ge=-MAX_EXPONENT, le=MAX_EXPONENT), WHOLE_NUMBER],
        Annotated[int, Field(strict=True, ge=-MAX_EXPONENT, le=MAX_EXPONENT), WHOLE_NUMBER],
    ]

    @model_validator(mode="after")
    def _holds_something(self) -> Self:
        low, high = self.powers_of_two
        if low > high:
            raise ValueError(f"it is empty: the power {low} lies above {high}; swap them")
        return self


class Choices(Closed):
    """One of these values."""

    choices: Annotated[list[float], Field(min_length=1, max_length=MAX_CHOICES)]

    @model_validator(mode="after")
    def _each_once(self) -> Self:
        if len(set(self.choices)) < len(self.choices):
            raise ValueError("it lists a value twice; list each once")
        return self


def _kind(value: object) -> str:
    names = value if isinstance(value, dict) else type(value).model_fields if isinstance(value, Closed) else {}
    return next((tag for name, tag in TAG_OF.items() if name in names), RANGE_TAG)


RANGE_TAG = "[range]"
TAG_OF = {"powers_of_two": "[powers]", "choices": "[choices]"}
SPACE_TAGS = frozenset({RANGE_TAG, *TAG_OF.values()})
"""Stand behind a parameter in the places that pydantic's errors name, and are no part of the request."""
Values = Annotated[
    Annotated[Range, Tag(RANGE_TAG)] | Annotated[PowersOfTwo, Tag("[powers]")] | Annotated[Choices, Tag("[choices]")],
    Discriminator(_kind),
]

DEFAULT_SPACE: dict[Name, Values] = {"learning_rate": PowersOfTwo(powers_of_two=(-13, -5))}
"""Over which the optimum of AdamW lies for every width, where muP keeps it in place."""
WHOLE: frozenset[Name] = frozenset({"batch_size"})
"""Hyper-parameters that are whole numbers."""


def bounds(values: Values) -> tuple[float, float]:
    """The least and the largest of the values."""
    match values:
        case Range(low=low, high=high):
            return low, high
        case PowersOfTwo(powers_of_two=(low, high)):
            return 2.0**low, 2.0**high
        case Choices(choices=choices):
            return min(choices), max(choices)


def grid_size(name: Name, values: Values) -> int | None:
    """How many values there are; None where there is one between any two of them."""
    match values:
        case Range(low=low, high=high, step=step):
            if step is None and name not in WHOLE:
                return 1 if low == high else None
            return 1 + int((high - low) / (step or 1) + 1e-9)
        case PowersOfTwo(powers_of_two=(low, high)):
            return high - low + 1
        case Choices(choices=choices):
            return len(choices)


def all_whole(values: Values) -> bool:
    """Whether nothing but whole numbers can be drawn."""
    match values:
        case Range(low=low, high=high, step=step):
            return all(float(number).is_integer() for number in (low, high, step or 1))
        case PowersOfTwo(powers_of_two=(low, _)):
            return low >= 0
        case Choices(choices=choices):
            return all(float(choice).is_integer() for choice in choices)
