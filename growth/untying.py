"""A tied head that needs a factor which no parameter can take: it is untied, and written as a tensor of its own."""

from dataclasses import replace

from growth.axes import Parameter
from growth.config import ModelConfig
from growth.matching import Matched, repeat_note
from growth.operators.operator import GrowthOperator


def unties(source: ModelConfig, operator: GrowthOperator) -> bool:
    """Whether `operator` scales what the tied head of `source` reads, and no norm before it can take the factor."""
    if not (source.headed and source.tied) or operator.readout_scale == 1.0:
        return False
    taken = any(row.feeds_tied_head for row in source.architecture.table(source))
    return not taken and any("hidden" in dim.axes for row in head_rows(source) for dim in row.dims)


def untied(source: ModelConfig, matched: Matched) -> Matched:
    """`matched` with tensors of the head's own, which grow from the ones that the head was tied to."""
    tied = source.architecture.tied_copies
    heads = {row.name: matched.tensors[tied[row.name]] for row in head_rows(source)}
    told = f"The head is untied: it needs a factor that no norm before it takes, so {', '.join(heads)} is written too."
    return replace(
        matched,
        tensors={**matched.tensors, **heads},
        rows=matched.rows | heads.keys(),
        notes=(told, *(note for note in matched.notes if note not in map(repeat_note, heads))),
    )


def head_rows(config: ModelConfig) -> list[Parameter]:
    """The head's rows in the table as they are where it is not tied."""
    architecture = config.architecture
    table = architecture.table(config.replaced(config.sizes, tie_word_embeddings=False))
    return [row for row in table if row.name in architecture.tied_copies]
