"""A model's config.json: its sizes under standard names, checked and bounded, and their replacement by larger ones."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from growth.errors import InvalidConfig, UnknownArchitecture

if TYPE_CHECKING:
    from growth.axes import Architecture, Norm

MAX_CONFIG_BYTES = 1 << 20
MAX_SIZE = 1 << 24
MAX_WIDTH = 1 << 20
MAX_LAYERS = 1 << 12

SIZE_BOUNDS: Mapping[str, int] = {
    "hidden_size": MAX_WIDTH,
    "intermediate_size": MAX_WIDTH,
    "num_hidden_layers": MAX_LAYERS,
    "num_attention_heads": MAX_WIDTH,
    "num_key_value_heads": MAX_WIDTH,
    "head_dim": MAX_WIDTH,
    "vocab_size": MAX_SIZE,
}
SIZE_NAMES = tuple(SIZE_BOUNDS)


@dataclass(frozen=True, slots=True)
class Sizes:
    """A model's sizes under the standard Hugging Face names."""

    hidden_size: int
    intermediate_size: int
    num_hidden_layers: int
    num_attention_heads: int
    num_key_value_heads: int
    head_dim: int
    vocab_size: int
    """0 where the family reads no tokens."""
    fixed: Mapping[str, int] = field(default_factory=dict)
    """Axes that no growth changes, by label: positions, token types, class labels."""

    def __post_init__(self) -> None:
        for name, bound in SIZE_BOUNDS.items():
            least = 0 if name == "vocab_size" else 1
            if not least <= getattr(self, name) <= bound:
                raise InvalidConfig(f"{name} is {getattr(self, name)}; it must lie between {least} and {bound}.")

    def as_dict(self) -> dict[str, int]:
        """The sizes by name, without the fixed axes, and without a vocabulary that is not there."""
        return {name: getattr(self, name) for name in SIZE_NAMES if getattr(self, name)}


@dataclass(frozen=True, slots=True)
class ModelConfig:
    """A parsed config.json with the architecture that its `model_type` names."""

    raw: Mapping[str, object]
    architecture: "Architecture"
    sizes: Sizes

    @classmethod
    def parse(cls, data: bytes) -> "ModelConfig":
        """Read the bytes of a config.json.

        Raises InvalidConfig for what is not a JSON object or lacks a size, UnknownArchitecture for a `model_type`
        without a table.
        """
        if len(data) > MAX_CONFIG_BYTES:
            raise InvalidConfig(f"config.json has {len(data)} bytes; at most {MAX_CONFIG_BYTES} are read.")
        try:
            raw = json.loads(data)
        except (ValueError, RecursionError) as error:
            raise InvalidConfig("config.json is not valid JSON; write it again with save_pretrained.") from error
        if not isinstance(raw, dict):
            raise InvalidConfig("config.json must hold a JSON object.")
        return cls.from_dict(raw)

    @classmethod
    def from_dict(cls, raw: Mapping[str, object]) -> "ModelConfig":
        """The config of these keys and values, as config.json holds them."""
        from growth.architectures import ARCHITECTURES

        model_type = raw.get("model_type")
        if not isinstance(model_type, str) or model_type not in ARCHITECTURES:
            raise UnknownArchitecture(
                f"config.json has model_type {str(model_type)[:80]!r}, which has no table here.",
                hint=f"Supported: {', '.join(sorted(ARCHITECTURES))}.",
            )
        architecture = ARCHITECTURES[model_type]
        config = cls(dict(raw), architecture, architecture.read_sizes(raw))
        # Read here, so that what is no number is refused before a job needs it.
        _ = config.epsilon, config.initializer_range
        return config

    @property
    def model_class(self) -> str:
        """The class named in `architectures`; the bare model where none is named."""
        named = self.raw.get("architectures")
        if isinstance(named, list) and named and isinstance(named[0], str):
            return named[0]
        return ""

    @property
    def base_prefix(self) -> str:
        """Name of the base model inside this class."""
        return self.architecture.class_prefixes.get(self.model_class, self.architecture.base_prefix)

    @property
    def headed(self) -> bool:
        """Whether this class computes token logits."""
        return self.model_class in self.architecture.headed_classes

    @property
    def headless(self) -> bool:
        """Whether this class gives hidden states alone."""
        return not self.headed and (not self.model_class or self.model_class.endswith("Model"))

    @property
    def tied(self) -> bool:
        """Whether the head is the token embedding."""
        tells = self.architecture.tells_tie
        if tells is not None:
            return tells(self.raw)
        return bool(self.raw.get("tie_word_embeddings", self.architecture.tied_by_default))

    @property
    def norm(self) -> "Norm":
        """The normalisation of the residual stream."""
        choose = self.architecture.choose_norm
        return self.architecture.norm if choose is None else choose(self.raw)

    @property
    def epsilon(self) -> float:
        """Of the norms."""
        norm = self.norm
        value = self.raw.get(norm.epsilon_key, norm.epsilon_default)
        if not isinstance(value, int | float) or isinstance(value, bool) or not 0 <= value < 1:
            raise InvalidConfig(f"config.json has {norm.epsilon_key} {value!r}; it must be a number below 1.")
        return float(value)

    @property
    def initializer_range(self) -> float:
        """Standard deviation of fresh weights."""
        key = self.architecture.initializer_range_key
        value = self.raw.get(key, self.architecture.initializer_range_default)
        if not isinstance(value, int | float) or isinstance(value, bool) or not 0 < value < 10:
            raise InvalidConfig(f"config.json has {key} {value!r}; it must be a positive number.")
        return float(value)

    def replaced(self, sizes: Sizes, **changes: object) -> "ModelConfig":
        """This config at other sizes, with further keys changed; code references are dropped."""
        raw = {key: value for key, value in self.raw.items() if key not in ("auto_map", "_name_or_path")}
        raw.update(self.architecture.write_sizes(sizes, self.raw))
        raw.update(changes)
        return replace(self, raw=raw, sizes=sizes)

    def size_key(self, name: str) -> str | None:
        """The standard name behind a size key, given under its standard or the family's own name."""
        own = {key: standard for standard, key in self.architecture.keys.items()} | dict(self.architecture.paired_keys)
        standard = own.get(name, name)
        return standard if standard in SIZE_NAMES else None


def read_int(raw: Mapping[str, object], key: str, default: int | None = None) -> int:
    """The whole number under `key`, or `default` where the key is missing or null.

    Raises InvalidConfig where neither is there, or the value is no whole number.
    """
    value = raw.get(key)
    if value is None:
        value = default
    if value is None:
        raise InvalidConfig(f"config.json has no {key}; add it, or write the file again with save_pretrained.")
    if not isinstance(value, int) or isinstance(value, bool):
        raise InvalidConfig(f"config.json has {key} {str(value)[:80]!r}; it must be a whole number.")
    if not 0 <= value <= MAX_SIZE * 64:
        raise InvalidConfig(f"config.json has {key} {str(value)[:80]}; it is out of bounds.")
    return value


def label_count(raw: Mapping[str, object]) -> int:
    """Number of classes of a classification head, as transformers derives it: a choice among several has one score."""
    named = raw.get("architectures")
    if isinstance(named, list) and named and str(named[0]).endswith("ForMultipleChoice"):
        return 1
    labels = raw.get("id2label")
    return len(labels) if isinstance(labels, Mapping) and labels else read_int(raw, "num_labels", 2)


def divide(whole: int, parts: int, what: str) -> int:
    """`whole / parts`, where that is a whole number.

    Raises InvalidConfig with `what` where it is not.
    """
    if parts < 1 or whole % parts:
        raise InvalidConfig(f"{what}: {whole} is not a multiple of {parts}.")
    return whole // parts
