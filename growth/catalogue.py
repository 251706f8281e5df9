"""The page that tells what can be grown exactly in each family, and what is refused and why: asked of the tables.

python -m growth.catalogue > docs/architectures.md
"""

import re
import sys
from collections.abc import Iterator, Mapping
from dataclasses import replace
from importlib import import_module

from growth.architectures import ARCHITECTURES
from growth.axes import Architecture, Parameter, Side
from growth.config import SIZE_NAMES, ModelConfig, Sizes
from growth.errors import GrowthError
from growth.operators import parse_method
from growth.operators.method import Growth
from growth.target import resolve_target
from growth.untying import unties

_INTRODUCTION = """# Architectures

Made by `make docs` from the tables in `growth/architectures`; `GET /architectures` tells a part of it.

A family is a table: each tensor with what its dimensions produce or read, and how the config names the sizes. The
first lines on each family say what is peculiar to it. Then comes what a small model of it answers (8 heads in a
`hidden_size` of 96, the head tied where the family can tie it) when it is to grow by `lemon` and `identity`, which keep
the function at every ratio at which it can be kept. What is refused for that reason alone can still be grown by `pad`,
`bert2bert` and `stack`.
"""
_EXAMPLE = Sizes(
    hidden_size=96,
    intermediate_size=192,
    num_hidden_layers=4,
    num_attention_heads=8,
    num_key_value_heads=4,
    head_dim=12,
    vocab_size=1_000,
)


def architectures_page() -> str:
    """The whole page, in Markdown."""
    return "\n".join([_INTRODUCTION, *(_section(family) for family in ARCHITECTURES.values())])


def _section(family: Architecture) -> str:
    config = example(family)
    keys = ", ".join(f"`{family.keys.get(name, name)}`" for name in SIZE_NAMES if name in _written(family))
    classes = ", ".join(f"`{name}`" for name in sorted(family.headed_classes))
    return "\n".join(
        [
            f"## `{family.model_type}`\n",
            f"{_told(family)}\n",
            f"Classes with the head that the family is trained with: {classes or 'none'}. Sizes: {keys}.\n",
            "| growth | |",
            "|---|---|",
            *(f"| {question} | {answer} |" for question, answer in _answers(config)),
            "",
            "<details><summary>Tensors</summary>\n",
            "| tensor | role | dimensions |",
            "|---|---|---|",
            *dict.fromkeys(map(_row, family.table(config))),
            "\n</details>\n",
        ]
    )


def example(family: Architecture) -> ModelConfig:
    """A small model of the family, with its head, as the family's own keys tell it."""
    grouped = "num_key_value_heads" in family.write_sizes(_EXAMPLE, {})
    sizes = _EXAMPLE if grouped else _equal_heads(_EXAMPLE)
    named = {name: getattr(sizes, name) for name in SIZE_NAMES}
    raw = {family.keys.get(name, name): value for name, value in named.items() if name in _written(family)}
    raw |= {"vocab_size": sizes.vocab_size, **family.write_sizes(sizes, raw)}
    raw |= {"model_type": family.model_type, "architectures": sorted(family.headed_classes)[:1]}
    # The harder case, where the family knows it.
    raw |= {"tie_word_embeddings": True} if family.tied_copies else {}
    return ModelConfig.from_dict(raw)


def _equal_heads(sizes: Sizes) -> Sizes:
    return replace(sizes, num_key_value_heads=sizes.num_attention_heads)


def _written(family: Architecture) -> set[str]:
    """The sizes that the family's config names."""
    written = family.write_sizes(replace(_EXAMPLE, head_dim=2 * _EXAMPLE.head_dim), {})
    return {name for name in SIZE_NAMES if family.keys.get(name, name) in written}


def _told(family: Architecture) -> str:
    return (import_module(f"growth.architectures.{family.model_type}").__doc__ or "").strip()


def _answers(config: ModelConfig) -> Iterator[tuple[str, str]]:
    sizes = config.sizes
    questions: Mapping[str, Mapping[str, int]] = {
        "`hidden_size` doubled": {"hidden_size": 2 * sizes.hidden_size},
        "`hidden_size` 1.5 times": {"hidden_size": 3 * sizes.hidden_size // 2},
        "heads 1.5 times, `hidden_size` kept": {"num_attention_heads": 3 * sizes.num_attention_heads // 2},
        "`intermediate_size` 1.33 times": {"intermediate_size": 4 * sizes.intermediate_size // 3},
        "`head_dim` doubled": {"head_dim": 2 * sizes.head_dim, "hidden_size": 2 * sizes.hidden_size},
        "two layers added": {"num_hidden_layers": sizes.num_hidden_layers + 2},
    }
    for question, target in questions.items():
        yield question, _answer(config, target)


def _answer(config: ModelConfig, target: Mapping[str, int]) -> str:
    try:
        built = parse_method("lemon").build(Growth(config, resolve_target(config, target), seed=0))
    except GrowthError as refusal:
        return f"refused: {refusal}"
    assert built.function_preserving
    notes = ["exact"]
    if built.operator.epsilon_scale != 1.0:
        notes.append("the residual stream is padded")
    if unties(config, built.operator):
        notes.append("a tied head is untied")
    return "; ".join(notes)


def _row(parameter: Parameter) -> str:
    dims = " x ".join(
        " \\| ".join("*".join(segment) for segment in dim.segments) + (" (reads)" if dim.side is Side.IN else "")
        for dim in parameter.dims
    )
    # Experts are all alike.
    name = re.sub(r"experts\.\d+", "experts.{expert}", parameter.name)
    return f"| `{name}` | {parameter.role.value} | {dims} |"


if __name__ == "__main__":
    sys.stdout.write(architectures_page())
