"""From the sizes that a request names to the target's full sizes: keep `head_dim`, grow the rest in proportion."""

from collections.abc import Mapping
from dataclasses import replace
from math import gcd

from growth.config import SIZE_NAMES, ModelConfig, Sizes
from growth.errors import ImpossibleTarget


def resolve_target(source: ModelConfig, target: Mapping[str, int]) -> Sizes:
    """The target's sizes: those named in `target`, under standard or the family's own keys, the others derived.

    The rule: heads grow with `hidden_size` so that `head_dim` stays, key/value heads with the heads (a single one
    stays single), `intermediate_size` with `hidden_size`; layers stay. Raises ImpossibleTarget for an unknown key, a
    size below the source's or one that can't be met, with the nearest that works.
    """
    named = _named_sizes(source, target)
    sizes = source.sizes
    for name, value in named.items():
        if value < getattr(sizes, name):
            raise ImpossibleTarget(
                f"{name} {value} is smaller than the source's {getattr(sizes, name)}; growth never shrinks a model.",
                field=f"/target/{_key_given(target, name, source)}",
                nearest={name: getattr(sizes, name)},
            )
    if named.get("vocab_size", sizes.vocab_size) != sizes.vocab_size:
        raise ImpossibleTarget(
            "vocab_size can't grow: the tokenizer has no further tokens.",
            field="/target/vocab_size",
            nearest={"vocab_size": sizes.vocab_size},
        )
    hidden = named.get("hidden_size", sizes.hidden_size)
    heads = _heads(source, named, hidden)
    head_dim = _head_dim(source, named, hidden, heads)
    return replace(
        sizes,
        hidden_size=hidden,
        num_attention_heads=heads,
        head_dim=head_dim,
        num_key_value_heads=_kv_heads(source, named, heads),
        intermediate_size=named.get("intermediate_size", -(-sizes.intermediate_size * hidden // sizes.hidden_size)),
        num_hidden_layers=named.get("num_hidden_layers", sizes.num_hidden_layers),
    )


def _named_sizes(source: ModelConfig, target: Mapping[str, int]) -> dict[str, int]:
    named: dict[str, int] = {}
    for key, value in target.items():
        name = source.size_key(key)
        if name is None:
            raise ImpossibleTarget(
                f"{key[:80]!r} is no size of a {source.architecture.model_type} model.",
                field=f"/target/{key[:80]}",
                hint=f"Sizes: {', '.join(SIZE_NAMES)}.",
            )
        if named.setdefault(name, value) != value:
            raise ImpossibleTarget(f"{name} is named twice, as {named[name]} and {value}.", field=f"/target/{key}")
    return named


def _key_given(target: Mapping[str, int], name: str, source: ModelConfig) -> str:
    return next(key for key in target if source.size_key(key) == name)


def _explicit_head_dim(source: ModelConfig) -> bool:
    """Whether the family's config carries `head_dim` by itself, so that heads need not add up to `hidden_size`."""
    return "head_dim" in source.architecture.write_sizes(replace(source.sizes, head_dim=2 * source.sizes.head_dim), {})


def _heads(source: ModelConfig, named: Mapping[str, int], hidden: int) -> int:
    sizes = source.sizes
    if "num_attention_heads" in named:
        return named["num_attention_heads"]
    if sizes.num_attention_heads * hidden % sizes.hidden_size == 0:
        return sizes.num_attention_heads * hidden // sizes.hidden_size
    step = sizes.hidden_size // gcd(sizes.hidden_size, sizes.num_attention_heads)
    nearest = max(sizes.hidden_size, round(hidden / step) * step)
    raise ImpossibleTarget(
        f"hidden_size {hidden} does not give a whole number of heads of the source's head_dim {sizes.head_dim}.",
        field="/target/hidden_size",
        hint=f"Ask for a multiple of {step}, or name num_attention_heads.",
        nearest={"hidden_size": nearest},
    )


def _head_dim(source: ModelConfig, named: Mapping[str, int], hidden: int, heads: int) -> int:
    sizes, explicit = source.sizes, _explicit_head_dim(source)
    if not explicit and hidden % heads:
        nearest = max(h for h in range(1, heads + 1) if hidden % h == 0)
        raise ImpossibleTarget(
            f"num_attention_heads {heads} does not divide hidden_size {hidden}.",
            field="/target/num_attention_heads",
            nearest={"hidden_size": hidden, "num_attention_heads": nearest},
        )
    head_dim = named.get("head_dim", sizes.head_dim if explicit else hidden // heads)
    if head_dim == sizes.head_dim:
        return head_dim
    kept = {"hidden_size": hidden, "num_attention_heads": max(1, hidden // sizes.head_dim)}
    if source.architecture.rotary:
        raise ImpossibleTarget(
            f"head_dim can't grow from {sizes.head_dim} to {head_dim}: rotary positions turn every head dimension at "
            "its own frequency, which depends on head_dim.",
            field="/target/head_dim",
            nearest={"head_dim": sizes.head_dim},
        )
    if hidden != heads * head_dim or head_dim < sizes.head_dim:
        raise ImpossibleTarget(
            f"hidden_size {hidden} over {heads} heads makes heads of {hidden // heads}, but the source's have "
            f"{sizes.head_dim}.",
            field="/target/num_attention_heads",
            nearest=kept,
        )
    return head_dim


def _kv_heads(source: ModelConfig, named: Mapping[str, int], heads: int) -> int:
    sizes = source.sizes
    if sizes.num_key_value_heads == sizes.num_attention_heads and not _grouped(source):
        kv_heads = named.get("num_key_value_heads", heads)
        if kv_heads != heads:
            raise ImpossibleTarget(
                f"A {source.architecture.model_type} model has as many key/value heads as heads.",
                field="/target/num_key_value_heads",
                nearest={"num_key_value_heads": heads},
            )
        return kv_heads
    proportional = sizes.num_key_value_heads * heads / sizes.num_attention_heads
    wanted = named.get("num_key_value_heads", 1 if sizes.num_key_value_heads == 1 else proportional)
    if wanted == int(wanted) and heads % int(wanted) == 0:
        return int(wanted)
    nearest = min((h for h in range(1, heads + 1) if heads % h == 0), key=lambda h: abs(h - wanted))
    raise ImpossibleTarget(
        f"num_attention_heads {heads} is no multiple of num_key_value_heads {wanted:g}.",
        field="/target/num_key_value_heads",
        nearest={"num_attention_heads": heads, "num_key_value_heads": max(nearest, sizes.num_key_value_heads)},
    )


def _grouped(source: ModelConfig) -> bool:
    """Whether the family's config tells key/value heads apart from heads."""
    return "num_key_value_heads" in source.architecture.write_sizes(source.sizes, source.raw)
