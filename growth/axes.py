"""An architecture as a table of parameters with labelled axes.

A tensor's dimension is written as text: axes joined by `*` form a block structure (outermost first), and blocks joined
by `|` stand one after the other. GPT-2's fused `c_attn` output is `heads*query_dim|heads*head_dim|heads*head_dim`.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import Enum
from math import prod

from growth.config import ModelConfig, Sizes
from growth.inputs import Input, token_inputs

LAYER = "{layer}"
SEPARATOR = "*"

# Axes that a growth operator maps; every other axis (vocab, positions, types, labels) keeps its size.
GROWING = ("hidden", "heads", "kv_heads", "head_dim", "query_dim", "intermediate")


class Side(Enum):
    """How a dimension meets the axis: it produces the axis' units, or it reads them."""

    OUT = "out"
    IN = "in"


class Role(Enum):
    """What a parameter does, hence which maps of an axis apply and how it is initialised."""

    LINEAR = "linear"
    BIAS = "bias"
    EMBEDDING = "embedding"
    READOUT = "readout"
    NORM_GAIN = "norm_gain"
    NORM_BIAS = "norm_bias"


@dataclass(frozen=True, slots=True)
class Dim:
    """One dimension of a tensor: concatenated segments, each a Kronecker product of axes."""

    segments: tuple[tuple[str, ...], ...]
    side: Side

    def size(self, axis_sizes: Mapping[str, int]) -> int:
        """Length of this dimension for the given axis sizes."""
        return sum(self.segment_sizes(axis_sizes))

    def segment_sizes(self, axis_sizes: Mapping[str, int]) -> list[int]:
        """Length of each concatenated segment."""
        return [prod(axis_sizes[axis] for axis in segment) for segment in self.segments]

    @property
    def axes(self) -> frozenset[str]:
        return frozenset(axis for segment in self.segments for axis in segment)


def _parse(text: str, side: Side) -> Dim:
    return Dim(tuple(tuple(segment.strip().split(SEPARATOR)) for segment in text.split("|")), side)


def out(text: str) -> Dim:
    """A dimension that produces the axis' units: the rows of a linear weight."""
    return _parse(text, Side.OUT)


def into(text: str) -> Dim:
    """A dimension that reads the axis' units: the columns of a linear weight."""
    return _parse(text, Side.IN)


@dataclass(frozen=True, slots=True)
class Parameter:
    """One row of the table; `{layer}` in the name stands for the layer's number."""

    name: str
    role: Role
    dims: tuple[Dim, ...]
    writes_residual: bool = False
    """Its output is added to the residual stream: zero it, and the block is an identity."""
    ends_branch: bool = False
    """A norm between such an output and the stream, whose gain decides how much a block adds."""
    scaled_embedding: bool = False
    """The forward pass multiplies what it looks up by the family's `embedding_scale`."""
    feeds_inner_norm: bool = False
    """Its output meets a norm that no compensation reaches, under the config's epsilon: one scales with the other."""
    absent_layers: frozenset[int] = frozenset()
    """Layers that have no such tensor; a copy of one elsewhere starts at the initial value, as transformers would."""
    feeds_tied_head: bool = False
    """A norm whose output meets the tied embedding: here copies of a unit must not be counted twice."""
    optional: bool = False
    """Stock transformers loads the model without it, or a class of the family lacks it."""
    sinusoidal: bool = False
    """Positions that a fresh model computes: half of the columns are sines, half cosines."""
    share: float = 1.0
    """Of the tokens that meet it."""
    init_std: float = 1.0
    """Of a fresh matrix, in units of the config's `initializer_range`; gains start at 1, biases at 0."""

    @property
    def layered(self) -> bool:
        return LAYER in self.name

    def tensor_name(self, layer: int | None) -> str:
        """Name of this parameter's tensor in layer `layer` (None for one outside the layers)."""
        assert self.layered == (layer is not None)
        return self.name.replace(LAYER, str(layer))

    def layers(self, count: int) -> Iterable[int | None]:
        """The layers, of `count`, that have such a tensor; None stands for one outside the layers."""
        return (layer for layer in range(count) if layer not in self.absent_layers) if self.layered else (None,)

    def shape(self, axis_sizes: Mapping[str, int]) -> tuple[int, ...]:
        """Shape of the tensor for the given axis sizes."""
        return tuple(dim.size(axis_sizes) for dim in self.dims)


@dataclass(frozen=True, slots=True)
class Norm:
    """The normalisation of the residual stream."""

    kind: str
    """`layernorm` (subtracts the mean) or `rmsnorm`."""
    epsilon_key: str
    """Config key of its epsilon; empty where transformers fixes it."""
    epsilon_default: float
    """What transformers takes where the config has no such key."""
    post: bool = False
    """The stream itself is normalised after each block (post-LN), so no block can be an identity."""
    gain_offset: float = 0.0
    """Added to the stored gain before use: 1 for Gemma."""
    bare: bool = False
    """It has neither gain nor bias, and an epsilon that no config changes."""


@dataclass(frozen=True, slots=True)
class ConfigFactor:
    """A constant of the forward pass that the config holds: the entry to the power `power`."""

    key: str
    default: float
    """What transformers takes where the config has no such key."""
    power: float = 1.0
    """-1 where the forward pass divides by the entry."""


@dataclass(frozen=True, slots=True)
class Upcycling:
    """How a dense model becomes a mixture of experts of this family, whose experts are copies of its MLP."""

    dense: tuple[str, ...]
    """`model_type` of the families that it can be made from."""
    experts_per_token: int
    """How many experts a token meets where the request does not say."""
    config: Callable[["ModelConfig", int, int], dict[str, object]]
    """(dense config, experts, experts for each token) -> the config.json of the mixture, or ImpossibleTarget."""
    copied: tuple[tuple[str, str], ...]
    """Rows of the mixture -> the dense model's row that they copy: regular expression, replacement."""
    router: str
    """The row that has no source: it is drawn afresh, and what it draws matters not while all experts are equal."""


@dataclass(frozen=True, slots=True)
class Architecture:
    """A family of models: its table, and how its config.json names the sizes."""

    model_type: str
    keys: Mapping[str, str]
    """Standard size name -> this family's config key; equal names are left out."""
    norm: Norm
    rotary: bool
    read_sizes: Callable[[Mapping[str, object]], Sizes]
    write_sizes: Callable[[Sizes, Mapping[str, object]], dict[str, object]]
    table: Callable[[ModelConfig], tuple[Parameter, ...]]
    """Every parameter that a class of the family may have, for this config."""
    base_prefix: str
    """Name of the base model inside the headed classes: checkpoints may carry it or not."""
    class_prefixes: Mapping[str, str] = field(default_factory=dict)
    """Classes that have another name for the base model -> that name."""
    paired_keys: Mapping[str, str] = field(default_factory=dict)
    """Further config keys -> the standard size that they repeat, as a decoder's sizes do that are its encoder's."""
    ignored: tuple[str, ...] = ()
    """Regular expressions of buffers that old checkpoints carry and stock transformers ignores."""
    tied_copies: Mapping[str, str] = field(default_factory=dict)
    """Tensors that repeat another one where the head is tied; stock transformers ties them again on loading."""
    shared_copies: Mapping[str, str] = field(default_factory=dict)
    """Tensors that repeat another one whether the head is tied or not."""
    renames: tuple[tuple[str, str], ...] = ()
    """Names of tensors that are not those of checkpoints, old ones or a module's: regular expression, replacement."""
    module_renames: tuple[tuple[str, str], ...] = ()
    """The other way: what stock modules call a checkpoint's tensors, where that is another name."""
    headed_classes: frozenset[str] = field(default_factory=frozenset)
    """Classes whose logits are what the family is trained on; a tied embedding computes them."""
    unlabelled_classes: frozenset[str] = field(default_factory=frozenset)
    """Headed classes whose forward pass takes no labels, and so computes no loss."""
    objective: str = "causal_lm"
    """What the headed classes are trained on: `causal_lm`, `masked_lm`, `image_classification`, `seq2seq_lm` or
    `speech_seq2seq`."""
    inputs: Callable[[ModelConfig], tuple[Input, ...]] = token_inputs
    """What the forward pass reads."""
    tied_by_default: bool = False
    """What transformers takes where the config has no `tie_word_embeddings`."""
    tells_tie: Callable[[Mapping[str, object]], bool] | None = None
    """Whether a config ties the head, where `tie_word_embeddings` does not tell."""
    initializer_range_key: str = "initializer_range"
    initializer_range_default: float = 0.02
    """What transformers takes where the config has no such key."""
    embedding_scale: Callable[[Sizes], float] = lambda _: 1.0
    """What the forward pass multiplies token embeddings by, where that depends on a size: Gemma's sqrt(hidden)."""
    readout_scale: Callable[[Sizes], float] = lambda _: 1.0
    """What it multiplies the input of a tied head by, where that depends on a size: T5's hidden**-0.5."""
    attention_power: float = -0.5
    """The power of `head_dim` that attention scores are multiplied by; 0 where no size decides their scale."""
    attention_factor: ConfigFactor | None = None
    """What the config multiplies attention scores by."""
    residual_factor: ConfigFactor | None = None
    """What it multiplies each part of a block by before it is added to the stream."""
    logits_factor: ConfigFactor | None = None
    """What it multiplies the logits by."""
    layer_lists: Callable[[Mapping[str, object]], Mapping[str, Sequence[object]]] = lambda _: {}
    """Config entries with one value for each layer, defaults written out; they grow with the layers."""
    fused: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Tensors that modules hold for all experts together -> those of one `{expert}`, whose rows follow each other."""
    upcycling: Upcycling | None = None
    """How dense models become members of the family."""
    choose_norm: Callable[[Mapping[str, object]], Norm] | None = None
    """Where configs of the family differ in it, the norm of one config; `norm` is that of most."""
    padding_refusal: str = ""
    """Why `hidden` can't be padded exactly, so that whole multiples alone are; empty where it can."""
    head_dim_refusal: str = ""
    """Why `head_dim` can't grow, beside rotary positions; empty where it can."""
    equal_heads_refusal: str = ""
    """Why every head must have equally many copies; empty where any ratio is exact."""


def axis_sizes(sizes: Sizes) -> dict[str, int]:
    """Sizes of the axes, by label."""
    return {
        "hidden": sizes.hidden_size,
        "heads": sizes.num_attention_heads,
        "kv_heads": sizes.num_key_value_heads,
        "head_dim": sizes.head_dim,
        "query_dim": sizes.head_dim,
        "intermediate": sizes.intermediate_size,
        "vocab": sizes.vocab_size,
        **sizes.fixed,
    }


def product_size(sizes: Mapping[str, int], label: str) -> int:
    """Size of an axis, or of a product of axes such as `heads*head_dim`; raises KeyError where one is unknown."""
    return prod(sizes[axis] for axis in label.split(SEPARATOR))


def linear(
    name: str,
    rows: str,
    columns: str,
    *,
    bias: bool = True,
    writes_residual: bool = False,
    feeds_inner_norm: bool = False,
    optional: bool = False,
    init_std: float = 1.0,
) -> tuple[Parameter, ...]:
    """The weight [rows, columns] and the bias [rows] of a `torch.nn.Linear`."""
    weight = Parameter(
        f"{name}.weight",
        Role.LINEAR,
        (out(rows), into(columns)),
        writes_residual=writes_residual,
        feeds_inner_norm=feeds_inner_norm,
        optional=optional,
        init_std=init_std,
    )
    return _with_bias(weight, out(rows), bias)


def conv1d(
    name: str, rows: str, columns: str, *, writes_residual: bool = False, init_std: float = 1.0
) -> tuple[Parameter, ...]:
    """The weight [columns, rows] and the bias [rows] of GPT-2's `Conv1D`, a linear layer stored transposed."""
    dims = (into(columns), out(rows))
    weight = Parameter(f"{name}.weight", Role.LINEAR, dims, writes_residual=writes_residual, init_std=init_std)
    return _with_bias(weight, out(rows), bias=True)


def _with_bias(weight: Parameter, rows: Dim, bias: bool) -> tuple[Parameter, ...]:
    if not bias:
        return (weight,)
    name = f"{weight.name.removesuffix('.weight')}.bias"
    return (weight, replace(weight, name=name, role=Role.BIAS, dims=(rows,)))


def patches(name: str) -> tuple[Parameter, ...]:
    """The weight [hidden, channels, patch_height, patch_width] and the bias [hidden] of a convolution over an image."""
    dims = (out("hidden"), into("channels"), into("patch_height"), into("patch_width"))
    return _with_bias(Parameter(f"{name}.weight", Role.LINEAR, dims), out("hidden"), bias=True)


def norm(
    name: str,
    axis: str = "hidden",
    *,
    bias: bool = True,
    feeds_tied_head: bool = False,
    ends_branch: bool = False,
    optional: bool = False,
    absent_layers: frozenset[int] = frozenset(),
) -> tuple[Parameter, ...]:
    """The gain, and the bias where it has one, of a LayerNorm or RMSNorm over `axis`."""
    gain = Parameter(
        f"{name}.weight",
        Role.NORM_GAIN,
        (out(axis),),
        feeds_tied_head=feeds_tied_head,
        ends_branch=ends_branch,
        optional=optional,
        absent_layers=absent_layers,
    )
    return (gain, replace(gain, name=f"{name}.bias", role=Role.NORM_BIAS)) if bias else (gain,)


def embedding(
    name: str, index_axis: str, *, scaled: bool = False, sinusoidal: bool = False, optional: bool = False
) -> Parameter:
    """An embedding table [index_axis, hidden]; `scaled` by the family's `embedding_scale` when it is looked up."""
    dims = (out(index_axis), out("hidden"))
    return Parameter(
        f"{name}.weight", Role.EMBEDDING, dims, optional=optional, scaled_embedding=scaled, sinusoidal=sinusoidal
    )


def readout(
    name: str, label_axis: str, *, bias: bool = False, optional: bool = True, init_std: float = 1.0
) -> tuple[Parameter, ...]:
    """A head [label_axis, hidden] that turns hidden states into scores; most are present in some classes only."""
    dims = (out(label_axis), into("hidden"))
    weight = Parameter(f"{name}.weight", Role.READOUT, dims, optional=optional, init_std=init_std)
    return _with_bias(weight, out(label_axis), bias)
