"""muTransfer: which learning rate, decay and initialisation each tensor of a target takes over from a base model.

Hyper-parameters found on a small base model are the right ones for a larger target if both are parametrised by muP
(Tensor Programs V, arXiv 2203.03466, Table 8) and, for depth, by CompleteP with alpha = 1 (arXiv 2505.01618, Table 1).
The labels of the axis table say all that these rules ask: which dimensions grow without bound, and what reads them.

Three numbers describe a tensor of such a model: the spread of its initial values, the size `update` of its steps, and
the size `gradient` of its gradients, all against the base's.

    kind         initial      update     gradient       forward pass
    vector-like  1            1          1 / m_out      1
    matrix-like  m_in^-1/2    1 / m_in   1 / m_out      1
    readout      1            1          1 / m_in       1 / m_in

m_in and m_out are the tensor's own: its fan-in and fan-out over those that it has in the base. Inside a block that is
added to the residual stream gradients are 1 / m_L as well, m_L the target's layers over the base's, for what a block
adds is multiplied by 1 / m_L. Where a stock model has no place for a factor f of the forward pass, the tensor before it
holds f times what it would: initial and update times f, gradient over f.

Adam's rate follows `update`, its epsilon `gradient`. SGD's steps have the gradient's size, so its rate is update over
gradient. A decay that is multiplied by the rate (AdamW) is over `update`; one that is added to the gradient is
gradient over update.
"""

from collections.abc import Iterable, Iterator
from math import prod

from growth.axes import GROWING, ConfigFactor, Parameter, Role, Side, axis_sizes
from growth.config import ModelConfig
from growth.errors import ImpossibleTarget, InvalidConfig
from growth.transfer_plan import ForwardFactor, Multipliers, Optimizer, TransferPlan
from growth.untying import head_rows

__all__ = ["NORMS_AND_BIASES", "ForwardFactor", "Multipliers", "Optimizer", "TransferPlan", "transfer"]

NORMS_AND_BIASES = frozenset({Role.NORM_GAIN, Role.NORM_BIAS, Role.BIAS})


def transfer(
    base: ModelConfig,
    target: ModelConfig,
    *,
    optimizer: Optimizer = "adamw",
    depth: bool = True,
    config_factors: bool = True,
    undecayed: frozenset[Role] = NORMS_AND_BIASES,
) -> TransferPlan:
    """The multipliers that make hyper-parameters of `base` right for `target`, of the same family.

    `depth` False leaves the number of layers out of it. `config_factors` False leaves the target's config as it is, and
    lets tensors carry every factor: so it is for a model that was grown, and goes on training. Tensors of the roles in
    `undecayed` have no weight decay. Raises ImpossibleTarget where no stock model of these sizes can carry a factor,
    or the families differ.
    """
    _refuse_other_families(base, target)
    pair = _Pair(base, target, depth=depth and not target.norm.post)
    forward = tuple(_forward(pair, config_factors))
    carried: dict[str, float] = {}
    for factor in forward:
        for name in factor.parameters:
            carried[name] = carried.get(name, 1.0) * factor.value
    rows = {row.name: _multipliers(pair, row, carried.get(row.name, 1.0), optimizer, undecayed) for row in pair.table}
    names = {
        row.tensor_name(layer): rows[row.name]
        for row in pair.table
        for layer in row.layers(target.sizes.num_hidden_layers)
    }
    config = dict(_config_entry(pair, factor) for factor in forward if factor.config_key)
    return TransferPlan(base, target, optimizer, names, forward, config, tuple(_notes(pair, depth)))


class _Pair:
    """Two models of one family, compared by the labels of the target's table."""

    def __init__(self, base: ModelConfig, target: ModelConfig, *, depth: bool) -> None:
        self.base, self.target = base, target
        self.family = target.architecture
        self.table = self.family.table(target)
        self._sizes = axis_sizes(target.sizes)
        self._base_sizes = {**self._sizes, **{axis: axis_sizes(base.sizes)[axis] for axis in GROWING}}
        self.layers = target.sizes.num_hidden_layers / base.sizes.num_hidden_layers if depth else 1.0

    def ratio(self, row: Parameter, side: Side) -> float:
        """What the row's dimensions of this side are over the base's."""
        return prod(dim.size(self._sizes) / dim.size(self._base_sizes) for dim in row.dims if dim.side is side)

    def reads_out(self, row: Parameter) -> bool:
        """Whether the row maps what grows to what never does: a head, a router, a projection out of the stream."""
        if row.role not in (Role.READOUT, Role.LINEAR):
            return False
        grows = {
            side: any(not dim.axes.isdisjoint(GROWING) for dim in row.dims if dim.side is side)
            for side in (Side.IN, Side.OUT)
        }
        return grows[Side.IN] and not grows[Side.OUT]


def _multipliers(
    pair: _Pair, row: Parameter, carried: float, optimizer: Optimizer, undecayed: frozenset[Role]
) -> Multipliers:
    fan_in, fan_out = pair.ratio(row, Side.IN), pair.ratio(row, Side.OUT)
    initial, update, gradient = 1.0, 1.0, 1.0 / fan_out
    if pair.reads_out(row):
        gradient = 1.0 / fan_in
    elif row.role is Role.LINEAR:
        initial, update = fan_in**-0.5, 1.0 / fan_in
    gradient /= pair.layers if row.layered else 1.0
    initial, update, gradient = initial * carried, update * carried, gradient / carried
    rate = update / gradient if optimizer == "sgd" else update
    decay = 1.0 / update if optimizer == "adamw" else gradient / update
    kept = row.role in undecayed or (
        carried != 1.0 and row.role is Role.NORM_GAIN and bool(pair.target.norm.gain_offset)
    )
    return Multipliers(rate, 0.0 if kept else decay, 1.0 if optimizer == "sgd" else gradient, initial)


def _forward(pair: _Pair, config_factors: bool) -> Iterator[ForwardFactor]:
    family = pair.family
    yield from _attention(pair, family.attention_factor if config_factors else None)
    yield from _residual(pair, family.residual_factor if config_factors else None)
    yield from _embedding(pair)
    yield from _readouts(pair, family.logits_factor if config_factors else None)


def _attention(pair: _Pair, entry: ConfigFactor | None) -> Iterator[ForwardFactor]:
    """Scores are multiplied by 1 / head_dim, so that they stay as large when queries and keys align."""
    wide, narrow = pair.target.sizes.head_dim, pair.base.sizes.head_dim
    if wide == narrow:
        return
    value = (narrow / wide) ** (1 + pair.family.attention_power)
    if entry is not None:
        yield ForwardFactor("attention", value, config_key=entry.key)
        return
    queries = [row for row in pair.table if any("query_dim" in dim.axes for dim in row.dims)]
    if not queries or any(
        row.feeds_inner_norm or len(row.dims[-1].segments) * len(row.dims[0].segments) > 1 for row in queries
    ):
        raise ImpossibleTarget(
            f"head_dim is {wide} in the target and {narrow} in the base, and no tensor or entry of the config of a "
            f"{pair.family.model_type} model scales its queries alone, which muP asks for.",
            field="/target/head_dim",
            hint="Keep head_dim, and let the number of heads grow.",
            nearest={"head_dim": narrow},
        )
    yield ForwardFactor("attention", value, parameters=_names(queries))


def _residual(pair: _Pair, entry: ConfigFactor | None) -> Iterator[ForwardFactor]:
    """What a block adds to the stream is multiplied by 1 / m_L."""
    if pair.layers == 1.0:
        return
    if entry is not None:
        yield ForwardFactor("residual", 1 / pair.layers, config_key=entry.key)
        return
    # A norm behind an output projection takes any factor of it back, so it is the norm's gain that carries one.
    last = [row for row in pair.table if row.ends_branch] or [row for row in pair.table if row.writes_residual]
    yield ForwardFactor("residual", 1 / pair.layers, parameters=_names(last))


def _embedding(pair: _Pair) -> Iterator[ForwardFactor]:
    """Embeddings reach the stream as large as in the base, whatever a family multiplies them by."""
    value = pair.family.embedding_scale(pair.base.sizes) / pair.family.embedding_scale(pair.target.sizes)
    if value != 1.0:
        scaled = [row for row in pair.table if row.scaled_embedding]
        yield ForwardFactor("embedding", value, parameters=_names(scaled))


def _readouts(pair: _Pair, entry: ConfigFactor | None) -> Iterator[ForwardFactor]:
    """What a readout reads is multiplied by 1 / m_in."""
    heads = {row.name for row in head_rows(pair.target)}
    values: dict[float, list[Parameter]] = {}
    for row in pair.table:
        value = 1 / pair.ratio(row, Side.IN)
        if not pair.reads_out(row) or value == 1.0:
            continue
        if entry is not None and row.name in heads:
            yield ForwardFactor("readout", value, config_key=entry.key)
        else:
            values.setdefault(value, []).append(row)
    for value, rows in values.items():
        yield ForwardFactor("readout", value, parameters=_names(rows))
    if pair.target.headed and pair.target.tied:
        yield from _tied_head(pair, entry)


def _tied_head(pair: _Pair, entry: ConfigFactor | None) -> Iterator[ForwardFactor]:
    """A tied head reads an embedding that carries no factor of the readout: what comes before it does."""
    norms = [row for row in pair.table if row.feeds_tied_head]
    ratios = {pair.ratio(row, Side.OUT) for row in norms} or {
        pair.ratio(row, Side.IN) for row in head_rows(pair.target) if row.role is Role.READOUT
    }
    family, base, target = pair.family, pair.base.sizes, pair.target.sizes
    stock = family.readout_scale(target) / family.readout_scale(base)
    embedding = family.embedding_scale(base) / family.embedding_scale(target)
    value = 1 / (max(ratios, default=1.0) * stock * embedding)
    if value == 1.0:
        return
    if entry is None and not norms:
        raise ImpossibleTarget(
            f"The head of this {family.model_type} model is tied, and no norm stands before it that could take the "
            "factor of the readout, which an embedding can't have.",
            hint='Give base and target a head of their own: "tie_word_embeddings": false in both configs.',
        )
    yield ForwardFactor("readout", value, entry.key) if entry else ForwardFactor("readout", value, "", _names(norms))


def _config_entry(pair: _Pair, factor: ForwardFactor) -> tuple[str, float]:
    family = pair.family
    entries = {
        "attention": family.attention_factor,
        "residual": family.residual_factor,
        "readout": family.logits_factor,
    }
    entry = entries[factor.name]
    assert entry is not None
    value = pair.base.raw.get(entry.key, entry.default)
    if not isinstance(value, int | float) or isinstance(value, bool) or value <= 0:
        raise InvalidConfig(f"config.json has {entry.key} {str(value)[:80]!r}; it must be a positive number.")
    return entry.key, value * factor.value ** (1 / entry.power)


def _names(rows: Iterable[Parameter]) -> tuple[str, ...]:
    return tuple(row.name for row in rows)


def _notes(pair: _Pair, depth: bool) -> Iterator[str]:
    base, target = pair.base.sizes, pair.target.sizes
    if depth and target.num_hidden_layers != base.num_hidden_layers and pair.target.norm.post:
        yield (
            "Blocks normalise the stream behind each addition (post-LN), for which no rule of depth is known: the "
            f"change from {base.num_hidden_layers} to {target.num_hidden_layers} layers changes no multiplier."
        )
    if target.num_key_value_heads / base.num_key_value_heads != target.num_attention_heads / base.num_attention_heads:
        yield (
            "Key/value heads do not grow as the heads do; keys and values are scaled by what they read alone, as every "
            "other matrix."
        )


def _refuse_other_families(base: ModelConfig, target: ModelConfig) -> None:
    family, upcycling = target.architecture, target.architecture.upcycling
    dense = upcycling.dense if upcycling is not None else ()
    if base.architecture.model_type not in (family.model_type, *dense):
        raise ImpossibleTarget(
            f"Hyper-parameters of a {base.architecture.model_type} model can't be transferred to a "
            f"{family.model_type} model; take a base of the target's family.",
        )
