"""Dense to mixture of experts: every expert is a copy of the dense MLP, so that the router can pick any of them.

Source: sparse upcycling (arXiv 2212.05055). The weights of the experts that a token meets sum to 1 in the families that
a dense model becomes here, so the function stays as it is whatever the router's weights, which the seed tells.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace

from growth.axes import Architecture, Parameter, Upcycling
from growth.config import ModelConfig
from growth.errors import ImpossibleTarget
from growth.header import TensorInfo
from growth.matching import Matched

EXPERT_KEYS = ("num_local_experts", "num_experts")
PER_TOKEN_KEY = "num_experts_per_tok"  # noqa: S105
MOST = 512


@dataclass(frozen=True, slots=True)
class Experts:
    """How many experts are asked for, and how many a token is to meet; None leaves that to the family."""

    count: int
    per_token: int | None
    key: str


def asked_experts(source: ModelConfig, target: Mapping[str, int]) -> tuple[Experts | None, dict[str, int]]:
    """What a target asks of experts, None for nothing, and its other sizes.

    Raises ImpossibleTarget where the source can't have so many.
    """
    sizes = {key: size for key, size in target.items() if key not in (*EXPERT_KEYS, PER_TOKEN_KEY)}
    named = [key for key in EXPERT_KEYS if key in target]
    if not named:
        if PER_TOKEN_KEY in target:
            raise ImpossibleTarget(
                f"{PER_TOKEN_KEY} stays as it is, unless a dense model becomes a mixture: name num_local_experts too.",
                field=f"/target/{PER_TOKEN_KEY}",
            )
        return None, sizes
    wanted = Experts(target[named[0]], target.get(PER_TOKEN_KEY), named[0])
    _check(source, wanted)
    return wanted, sizes


def _check(source: ModelConfig, wanted: Experts) -> None:
    present = source.sizes.fixed.get("experts")
    if present is not None or _mixture(source) is None:
        family = source.architecture.model_type
        why = f"the source has {present} already" if present else f"no mixture is made from a {family} model here"
        raise ImpossibleTarget(f"{wanted.count} experts can't be had: {why}.", field=f"/target/{wanted.key}")
    if not 2 <= wanted.count <= MOST:
        raise ImpossibleTarget(
            f"{wanted.key} {wanted.count} is out of bounds; 2 to {MOST} experts can be asked for.",
            field=f"/target/{wanted.key}",
        )
    if wanted.per_token is not None and not 1 <= wanted.per_token <= wanted.count:
        raise ImpossibleTarget(
            f"{PER_TOKEN_KEY} {wanted.per_token} is out of bounds: there are {wanted.count} experts.",
            field=f"/target/{PER_TOKEN_KEY}",
        )


def _mixture(source: ModelConfig) -> tuple[Architecture, Upcycling] | None:
    from growth.architectures import ARCHITECTURES

    for family in ARCHITECTURES.values():
        if family.upcycling is not None and source.architecture.model_type in family.upcycling.dense:
            return family, family.upcycling
    return None


def upcycled(source: ModelConfig, grown: ModelConfig, matched: Matched, wanted: Experts) -> tuple[ModelConfig, Matched]:
    """The mixture that the dense `grown` becomes, and `matched` with the dense tensors as those of every expert.

    The router is among the rows but has no tensor. Raises ImpossibleTarget where something has no place in the mixture.
    """
    found = _mixture(source)
    assert found is not None
    family, rules = found
    per_token = wanted.per_token or min(rules.experts_per_token, wanted.count)
    config = ModelConfig.from_dict(rules.config(grown, wanted.count, per_token))
    tensors: dict[str, TensorInfo] = {}
    rows = {rules.router}
    for row in family.table(config):
        dense = _dense_name(rules, row.name)
        if row.name == rules.router or dense not in matched.rows:
            continue
        rows.add(row.name)
        for layer in range(source.sizes.num_hidden_layers) if row.layered else (None,):
            name = row.tensor_name(layer)
            tensors[name] = matched.tensors[_dense_name(rules, name)]
    note = (
        f"The {source.architecture.model_type} model becomes a {family.model_type} model of {wanted.count} equal "
        f"experts, {per_token} for each token; its router is drawn from the seed."
    )
    return config, replace(
        matched, tensors={**matched.tensors, **tensors}, rows=frozenset(rows), notes=(note, *matched.notes)
    )


def copies_dense_rows(target: ModelConfig, parameter: Parameter) -> bool:
    """Whether `parameter` of the mixture `target` is an expert's, which copies a row of a dense model."""
    rules = target.architecture.upcycling
    return rules is not None and _dense_name(rules, parameter.name) != parameter.name


def _dense_name(rules: Upcycling, name: str) -> str:
    for pattern, replacement in rules.copied:
        name = re.sub(pattern, replacement, name)
    return name
