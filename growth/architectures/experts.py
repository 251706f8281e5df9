"""What mixtures of experts share: each expert is a gated MLP, of which a router picks a few for each token."""

from collections.abc import Mapping
from dataclasses import replace

from growth.axes import LAYER, Parameter, Role, into, linear, out
from growth.config import ModelConfig, read_int
from growth.errors import ImpossibleTarget, InvalidConfig

MAX_EXPERTS = 512
LEFT_BEHIND = ("model_type", "architectures", "auto_map", "mlp_bias", "pretraining_tp")
"""Entries of a dense config that a mixture does not have."""


def read_experts(raw: Mapping[str, object], keys: tuple[str, ...], default: int, per_token: int) -> dict[str, int]:
    """The number of experts, found under one of `keys`, and how many a token meets, which is no axis."""
    experts = next((read_int(raw, key) for key in keys if raw.get(key) is not None), default)
    met = read_int(raw, "num_experts_per_tok", per_token)
    if not 1 <= met <= experts <= MAX_EXPERTS:
        raise InvalidConfig(
            f"config.json has {experts} experts, {met} for each token; there must be 1 to {MAX_EXPERTS}, and no more "
            "for a token than there are."
        )
    return {"experts": experts, "experts_per_token": met}


def experts(config: ModelConfig, block: str, names: tuple[str, str, str]) -> tuple[Parameter, ...]:
    """The experts below `block`; `names` are those of gate, up and down projection."""
    gate, up, down = names
    count = config.sizes.fixed["experts"]
    share = config.sizes.fixed["experts_per_token"] / count
    rows = (
        row
        for expert in range(count)
        for row in (
            *linear(f"{block}.{expert}.{gate}", "intermediate", "hidden", bias=False),
            *linear(f"{block}.{expert}.{up}", "intermediate", "hidden", bias=False),
            *linear(f"{block}.{expert}.{down}", "hidden", "intermediate", bias=False, writes_residual=True),
        )
    )
    return tuple(replace(row, share=share) for row in rows)


def router(name: str) -> Parameter:
    """The scores of the experts, [experts, hidden]; every unit that it reads counts once."""
    return Parameter(f"{name}.weight", Role.LINEAR, (out("experts"), into("hidden")))


def fused(block: str, names: tuple[str, str, str]) -> dict[str, tuple[str, ...]]:
    """The modules' tensors of all experts, by what `block` and `names` are in checkpoints."""
    gate, up, down = (f"{block}.{{expert}}.{name}.weight" for name in names)
    held = f"model.layers.{LAYER}.mlp.experts"
    return {f"{held}.gate_up_proj": (gate, up), f"{held}.down_proj": (down,)}


def upcycled_config(dense: ModelConfig, family: str, classes: tuple[str, str], **entries: object) -> dict[str, object]:
    """The dense config's entries, what the two families take for missing ones written out, and the mixture's own.

    `classes` are the beginnings of the two families' class names.
    """
    raw = {key: value for key, value in dense.raw.items() if key not in LEFT_BEHIND}
    written: dict[str, object] = {
        "num_key_value_heads": dense.sizes.num_key_value_heads,
        "head_dim": dense.sizes.head_dim,
    }
    written |= {dense.norm.epsilon_key: dense.epsilon, "tie_word_embeddings": dense.tied}
    if "rope_parameters" not in raw:
        raw.setdefault("rope_theta", 10_000.0)
    kind = dense.model_class.replace(*classes, 1) if dense.model_class else f"{classes[1]}Model"
    return {**raw, **written, "model_type": family, "architectures": [kind], **entries}


def refuse_biases(dense: ModelConfig, keys: tuple[str, ...]) -> None:
    """Raises ImpossibleTarget where the dense model has biases for which the mixture has no place."""
    for key in keys:
        if dense.raw.get(key):
            raise ImpossibleTarget(
                f"A {dense.architecture.model_type} model with {key} can't become a mixture of experts, which has no "
                "biases.",
                field="/target/num_local_experts",
            )
