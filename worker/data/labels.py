"""Labels of images as the numbers that the model's classifier gives them."""

import re
from collections.abc import Mapping, Sequence

from growth.config import ModelConfig
from growth.errors import InvalidData

_PLACEHOLDER = re.compile(r"LABEL_\d+")


def named_labels(config: ModelConfig) -> dict[str, int]:
    """The config's names of labels; without those that transformers makes up."""
    given, numbered = config.raw.get("label2id"), config.raw.get("id2label")
    pairs = list(given.items()) if isinstance(given, Mapping) else []
    if not pairs and isinstance(numbered, Mapping):
        pairs = [(name, number) for number, name in numbered.items()]
    labels = {str(name): int(number) for name, number in pairs if str(number).isdecimal()}
    return {name: number for name, number in labels.items() if not _PLACEHOLDER.fullmatch(name)}


def number_folders(names: Sequence[str], config: ModelConfig) -> Mapping[str, int | None]:
    """The label of each folder: the config's where it names any of them, else its place among the sorted names; none
    for a model without a classifier.

    Raises InvalidData where the config names some but not all, or there are not as many folders as labels.
    """
    if config.headless:
        return dict.fromkeys(names)
    known, count = named_labels(config), config.sizes.fixed["labels"]
    if any(name in known for name in names):
        return {name: label_number(name, known, count, f"The folder {name!r}") for name in names}
    if len(names) != count:
        raise InvalidData(
            f"The data has {len(names)} folders of labels ({', '.join(sorted(names)[:3])} ...), but the model has "
            f"{count} labels and its config names none of them; name the folders as label2id does."
        )
    return {name: number for number, name in enumerate(sorted(names))}


def label_number(value: object, known: Mapping[str, int], count: int, place: str) -> int:
    """The number of a label given as a number or by its name. Raises InvalidData where the model has no such label."""
    number = known.get(value) if isinstance(value, str) else value
    if not isinstance(number, int) or isinstance(number, bool) or not 0 <= number < count:
        raise InvalidData(
            f"{place} has the label {str(value)[:80]!r}, which the model's config does not know among its {count}; add "
            "it to label2id, or give a number."
        )
    return number
