"""From the sizes that a request names to the target's full sizes: keep `head_dim`, grow the rest in proportion."""

from collections.abc import Mapping
from dataclasses import replace
from math import gcd

from growth.config import SIZE_BOUNDS, ModelConfig, Sizes
from growth.errors import ImpossibleTarget, InvalidConfig


def resolve_target(source: ModelConfig, target: Mapping[str, int]) -> Sizes:
    """The target's sizes: those named in `target`, under standard or the family's own keys, the others derived.

    The rule: heads grow with `hidden_size` so that `head_dim` stays (or is as named), key/value heads with the heads (a
    single one stays single), `intermediate_size` with `hidden_size`; layers stay. Heads divide `hidden_size` in every
    family: transformers refuses to load other configs. Raises ImpossibleTarget for an unknown key, a
    size below the source's or one that can't be met, with the nearest that works.
    """
    named = _named_sizes(source, target)
    sizes = source.sizes
    _refuse_other_than_growth(source, target, named)
    hidden = named.get("hidden_size", sizes.hidden_size)
    heads = _heads(source, named, hidden)
    head_dim = _head_dim(source, named, hidden, heads)
    kv_heads = _kv_heads(source, named, heads)
    try:
        return replace(
            sizes,
            hidden_size=hidden,
            num_attention_heads=heads,
            head_dim=head_dim,
            num_key_value_heads=kv_heads,
            intermediate_size=named.get("intermediate_size", -(-sizes.intermediate_size * hidden // sizes.hidden_size)),
            num_hidden_layers=named.get("num_hidden_layers", sizes.num_hidden_layers),
        )
    except InvalidConfig as error:
        raise ImpossibleTarget(f"The target is out of bounds: its {error}") from error


def check_numbers(target: Mapping[str, object]) -> None:
    """Raises ImpossibleTarget for a size that is no whole number, as untyped code may give it."""
    for key, value in target.items():
        if not isinstance(value, int) or isinstance(value, bool):
            named, given = str(key)[:80], f"{str(value)[:80]!r}, a {type(value).__name__}"
            raise ImpossibleTarget(f"The target's {named!r} is {given}; give a whole number.", field=f"/target/{named}")


def _named_sizes(source: ModelConfig, target: Mapping[str, int]) -> dict[str, int]:
    named: dict[str, int] = {}
    for key, value in target.items():
        name = source.size_key(key) or ""
        if name not in source.sizes.as_dict():
            raise ImpossibleTarget(
                f"{key[:80]!r} is no size of a {source.architecture.model_type} model.",
                field=f"/target/{key[:80]}",
                hint=f"Sizes: {', '.join(source.sizes.as_dict())}.",
            )
        if value > SIZE_BOUNDS[name]:
            raise ImpossibleTarget(
                f"{name} {value} is out of bounds; at most {SIZE_BOUNDS[name]} can be asked for.",
                field=f"/target/{key}",
            )
        if named.setdefault(name, value) != value:
            raise ImpossibleTarget(f"{name} is named twice, as {named[name]} and {value}.", field=f"/target/{key}")
    return named


def _refuse_other_than_growth(source: ModelConfig, target: Mapping[str, int], named: Mapping[str, int]) -> None:
    sizes = source.sizes
    smaller = [name for name, value in named.items() if value < getattr(sizes, name)]
    if smaller:
        name = smaller[0]
        raise ImpossibleTarget(
            f"{name} {named[name]} is smaller than the source's {getattr(sizes, name)}; growth never shrinks a model.",
            field=f"/target/{_key_given(target, name, source)}",
            nearest={name: getattr(sizes, name) for name in smaller},
        )
    if named.get("vocab_size", sizes.vocab_size) != sizes.vocab_size:
        raise ImpossibleTarget(
            "vocab_size can't grow: the tokenizer has no further tokens.",
            field="/target/vocab_size",
            nearest={"vocab_size": sizes.vocab_size},
        )


def _key_given(target: Mapping[str, int], name: str, source: ModelConfig) -> str:
    return next(key for key in target if source.size_key(key) == name)


def _explicit_head_dim(source: ModelConfig) -> bool:
    """Whether the family's config carries `head_dim` by itself, so that heads need not add up to `hidden_size`."""
    sizes = source.sizes
    other = 2 if sizes.num_attention_heads == sizes.hidden_size else 1
    key = source.architecture.keys.get("head_dim", "head_dim")
    return key in source.architecture.write_sizes(replace(sizes, head_dim=other), {})


def _fixed_head_dim(source: ModelConfig) -> str:
    """Why the family's `head_dim` can't grow; empty where it can."""
    if source.architecture.rotary:
        return "rotary positions turn every head dimension at its own frequency, which depends on head_dim"
    return source.architecture.head_dim_refusal


def _heads(source: ModelConfig, named: Mapping[str, int], hidden: int) -> int:
    sizes = source.sizes
    if "num_attention_heads" in named:
        return named["num_attention_heads"]
    if "head_dim" in named and not _explicit_head_dim(source) and hidden % named["head_dim"] == 0:
        return hidden // named["head_dim"]
    grouped = _grouped(source) and sizes.num_key_value_heads > 1 and "num_key_value_heads" not in named
    whole, told = (sizes.num_key_value_heads, "key/value heads") if grouped else (sizes.num_attention_heads, "heads")
    if whole * hidden % sizes.hidden_size == 0:
        return sizes.num_attention_heads * hidden // sizes.hidden_size
    step = sizes.hidden_size // gcd(sizes.hidden_size, whole)
    raise ImpossibleTarget(
        f"hidden_size {hidden} does not give a whole number of {told} of the source's head_dim {sizes.head_dim}.",
        field="/target/hidden_size",
        hint=f"Ask for a multiple of {step}, or name num_attention_heads"
        + (" and num_key_value_heads." if grouped else "."),
        nearest={"hidden_size": max(sizes.hidden_size, round(hidden / step) * step)},
    )


def _head_dim(source: ModelConfig, named: Mapping[str, int], hidden: int, heads: int) -> int:
    sizes, explicit = source.sizes, _explicit_head_dim(source)
    if hidden % heads:
        raise _refuse_heads(source, named, f"num_attention_heads {heads} does not divide hidden_size {hidden}.")
    head_dim = named.get("head_dim", sizes.head_dim if explicit else hidden // heads)
    if head_dim == sizes.head_dim and (explicit or heads * head_dim == hidden):
        return head_dim
    if (reason := _fixed_head_dim(source)) and head_dim != sizes.head_dim:
        raise ImpossibleTarget(
            f"head_dim can't grow from {sizes.head_dim} to {head_dim}: {reason}.",
            field="/target/head_dim",
            nearest={"head_dim": sizes.head_dim} | ({} if explicit else _whole_heads(source, hidden)),
        )
    if heads * head_dim != hidden:
        raise _refuse_heads(source, named, f"{heads} heads of head_dim {head_dim} do not make hidden_size {hidden}.")
    if heads < sizes.num_attention_heads or head_dim < sizes.head_dim:
        raise _refuse_heads(
            source,
            named,
            f"hidden_size {hidden} in {heads} heads of {head_dim} can't hold the source's {sizes.num_attention_heads} "
            f"heads of {sizes.head_dim}.",
        )
    return head_dim


def _whole_heads(source: ModelConfig, hidden: int) -> dict[str, int]:
    """Heads of the source's `head_dim` that make `hidden_size`, or what is nearest to it and whole."""
    sizes = source.sizes
    heads = max(sizes.num_attention_heads, round(hidden / sizes.head_dim))
    return {"hidden_size": heads * sizes.head_dim, "num_attention_heads": heads}


def _refuse_heads(source: ModelConfig, named: Mapping[str, int], sentence: str) -> ImpossibleTarget:
    """The refusal with the nearest heads that divide `hidden_size` and hold the source's, else another hidden size."""
    sizes, explicit = source.sizes, _explicit_head_dim(source)
    hidden = named.get("hidden_size", sizes.hidden_size)
    most = hidden if explicit else hidden // sizes.head_dim
    fitting = [h for h in range(sizes.num_attention_heads, most + 1) if hidden % h == 0]
    if not fitting:
        step = sizes.hidden_size // sizes.num_attention_heads
        hidden = max(sizes.hidden_size, round(hidden / step) * step)
        fitting = [hidden // step]
    asked = named.get("num_attention_heads", hidden // named.get("head_dim", sizes.head_dim))
    nearest = {
        "hidden_size": hidden,
        "num_attention_heads": max((h for h in fitting if h <= asked), default=fitting[0]),
    }
    if not explicit and "head_dim" in named:
        nearest["head_dim"] = hidden // nearest["num_attention_heads"]
    key = "num_attention_heads" if "num_attention_heads" in named else "head_dim"
    return ImpossibleTarget(sentence, field=f"/target/{key}", nearest=nearest)


def _kv_heads(source: ModelConfig, named: Mapping[str, int], heads: int) -> int:
    sizes = source.sizes
    if not _grouped(source):
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
    raise ImpossibleTarget(
        f"num_attention_heads {heads} is no multiple of num_key_value_heads {wanted:g}.",
        field="/target/num_key_value_heads",
        nearest={"num_attention_heads": heads, "num_key_value_heads": nearest_kv_heads(sizes, heads, wanted)},
    )


def nearest_kv_heads(source: Sizes, heads: int, wanted: float) -> int:
    """The number of key/value heads nearest to `wanted` that divides `heads`, its groups holding the source's."""
    fitting = [kv for kv in range(source.num_key_value_heads, heads + 1) if heads % kv == 0]
    return min((kv for kv in fitting if groups_fit(source, heads, kv)), key=lambda kv: abs(kv - wanted))


def groups_fit(source: Sizes, heads: int, kv_heads: int) -> bool:
    """Whether every query head of a source group finds a place beside a copy of the group's key/value head."""
    group = source.num_attention_heads // source.num_key_value_heads
    return (kv_heads // source.num_key_value_heads) * (heads // kv_heads) >= group


def _grouped(source: ModelConfig) -> bool:
    """Whether the family's config tells key/value heads apart from heads."""
    return "num_key_value_heads" in source.architecture.write_sizes(source.sizes, source.raw)
