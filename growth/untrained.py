"""A source that is no checkpoint yet: what its tensors will be, from its config alone."""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from math import prod

from growth.axes import Parameter, axis_sizes
from growth.config import ModelConfig
from growth.errors import GrowthError, InvalidConfig, InvalidData, InvalidOptimizerState
from growth.header import MAX_TENSORS, TensorInfo
from growth.inputs import reads_text
from growth.plan import MAX_PARAMETERS, GrowthPlan
from growth.source import SourceCheckpoint

WEIGHTS_FILE = "model.safetensors"
CONFIG_FIELD, TOKENIZER_FIELD = "/source/config", "/source/tokenizer"
_HEADS: Mapping[str, tuple[str, ...]] = {"causal_lm": ("ForCausalLM", "LMHeadModel"), "masked_lm": ("ForMaskedLM",)}
"""How the class is named that each objective trains."""
_DROPPED = ("auto_map", "_name_or_path", "torch_dtype")
_FLOAT32 = 4
_TRAINING_COPIES = 4
"""Weights, gradients and AdamW's two moments."""


def untrained_source(raw: Mapping[str, object]) -> SourceCheckpoint:
    """The checkpoint in float32 that training a model of the config.json `raw` will leave.

    Raises UnknownArchitecture or InvalidConfig where no such model can be trained here.
    """
    try:
        config = _trainable(raw)
    except GrowthError as error:
        error.field = CONFIG_FIELD
        raise
    return SourceCheckpoint(config, dict(_tensors(config)))


def check_corpus(config: ModelConfig, data_format: str | None, *, tokenizer: bool) -> None:
    """Raises InvalidData where an untrained source can't be trained on data of this format (None: there are none)."""
    if data_format is None:
        raise InvalidData("An untrained source is trained on data; name some under data.uri.")
    if tokenizer:
        return
    if config.architecture.objective == "masked_lm":
        raise InvalidData(
            f"A {config.architecture.model_type} model is trained on masked tokens, which takes a tokenizer with a "
            "mask token; name its folder.",
            field=TOKENIZER_FIELD,
        )
    if data_format != "tokens":
        raise InvalidData(
            f"Without a tokenizer only token ids can be read, and the data's format is {data_format!r}; name the "
            'tokenizer\'s folder under source.tokenizer, or give {"format": "tokens"}.',
            field="/data/format",
        )


def check_no_state(source_optimizer: str | None) -> None:
    """Raises InvalidOptimizerState where a state is given for a source that no optimizer has seen."""
    if source_optimizer is not None:
        raise InvalidOptimizerState("An untrained source has no optimizer's state yet; leave source_optimizer out.")


def trained_first(plan: GrowthPlan, *, steps: int, batch_size: int, length: int) -> GrowthPlan:
    """`plan` with what it takes to train its source for `steps` on batches of sequences of `length` tokens."""
    parameters = sum(prod(tensor.shape) for tensor in plan.source_tensors.values())
    note = (
        f"The source is trained here first, from random weights: {steps} steps of {batch_size} sequences of {length} "
        "tokens."
    )
    return replace(plan, notes=(note, *plan.notes), training_memory_bytes=_TRAINING_COPIES * _FLOAT32 * parameters)


def _trainable(raw: Mapping[str, object]) -> ModelConfig:
    config = ModelConfig.from_dict(raw)
    family = config.architecture
    if not reads_text(config):
        raise InvalidConfig(
            f"A {family.model_type} model can't be trained here, because it is not trained on running text; give a "
            "checkpoint of it as the source."
        )
    if config.raw.get("quantization_config") is not None:
        raise InvalidConfig("The config has a quantization_config, but a source is trained in float32; leave it out.")
    trained = next(name for name in sorted(family.headed_classes) if name.endswith(_HEADS[family.objective]))
    if config.model_class not in ("", trained):
        raise InvalidConfig(
            f"The config's architectures name a {config.model_class[:80]}, but what can be trained here is a "
            f"{trained}; name that, or none."
        )
    kept = {key: value for key, value in raw.items() if key not in _DROPPED}
    config = ModelConfig.from_dict({**kept, "architectures": [trained], "dtype": "float32"})
    _check_bounds(config)
    return config


def _check_bounds(config: ModelConfig) -> None:
    """Before any tensor is listed: those of absurd sizes would fill the memory of whoever plans."""
    sizes, layers = axis_sizes(config.sizes), config.sizes.num_hidden_layers
    rows = _rows(config)
    parameters = sum(prod(row.shape(sizes)) * (layers if row.layered else 1) for row in rows)
    if parameters > MAX_PARAMETERS:
        raise InvalidConfig(f"The source has more than {MAX_PARAMETERS:.0e} parameters; ask for smaller sizes.")
    if sum(layers if row.layered else 1 for row in rows) > MAX_TENSORS:
        raise InvalidConfig(f"The source has more than {MAX_TENSORS} tensors; ask for fewer layers or experts.")


def _rows(config: ModelConfig) -> list[Parameter]:
    return [row for row in config.architecture.table(config) if not row.optional]


def _tensors(config: ModelConfig) -> Iterator[tuple[str, TensorInfo]]:
    sizes, start = axis_sizes(config.sizes), 0
    for row in _rows(config):
        shape = row.shape(sizes)
        nbytes = prod(shape) * _FLOAT32
        for layer in row.layers(config.sizes.num_hidden_layers):
            name = row.tensor_name(layer)
            yield name, TensorInfo(name, WEIGHTS_FILE, "F32", shape, start, start + nbytes)
            start += nbytes
