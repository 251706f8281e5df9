"""ModernBERT: pre-LN encoder, rotary positions, attention global and local in turn, no norm before the first attention.

A copy of the first layer needs a norm that has no source, and starts with a fresh one; in an identity block, which
is silent, that changes nothing. The first layer itself stays the first in every order.
"""

from collections.abc import Mapping, Sequence
from functools import partial
from math import sqrt

from growth.architectures.decoder import layer_types
from growth.axes import Architecture, Norm, Parameter, Role, embedding, linear, norm, readout
from growth.config import ModelConfig, Sizes, divide, label_count, read_int
from growth.errors import InvalidConfig

FIRST = frozenset({0})


def _read_sizes(raw: Mapping[str, object]) -> Sizes:
    _layer_lists(raw)
    hidden, heads = read_int(raw, "hidden_size"), read_int(raw, "num_attention_heads")
    return Sizes(
        hidden_size=hidden,
        intermediate_size=read_int(raw, "intermediate_size"),
        num_hidden_layers=read_int(raw, "num_hidden_layers"),
        num_attention_heads=heads,
        num_key_value_heads=heads,
        head_dim=divide(hidden, heads, "hidden_size over num_attention_heads"),
        vocab_size=read_int(raw, "vocab_size"),
        fixed={"labels": label_count(raw)},
    )


def _write_sizes(sizes: Sizes, _raw: Mapping[str, object]) -> dict[str, object]:
    names = ("hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads")
    return {name: getattr(sizes, name) for name in names}


def _layer_lists(raw: Mapping[str, object]) -> Mapping[str, Sequence[object]]:
    every = read_int(raw, "global_attn_every_n_layers", 3)
    if every < 1:
        raise InvalidConfig(f"config.json has global_attn_every_n_layers {every}; it must be at least 1.")
    return {"layer_types": layer_types(raw, lambda n: "sliding_attention" if n % every else "full_attention")}


def _encoder(config: ModelConfig, output_std: float) -> tuple[Parameter, ...]:
    block = "model.layers.{layer}"
    norm_bias, attention_bias, mlp_bias = (
        bool(config.raw.get(f"{part}_bias")) for part in ("norm", "attention", "mlp")
    )
    fused, inner = "heads*query_dim|heads*head_dim|heads*head_dim", "intermediate|intermediate"
    output = partial(linear, writes_residual=True, init_std=output_std)
    return (
        embedding("model.embeddings.tok_embeddings", "vocab"),
        *norm("model.embeddings.norm", bias=norm_bias),
        *norm(f"{block}.attn_norm", bias=norm_bias, absent_layers=FIRST),
        *linear(f"{block}.attn.Wqkv", fused, "hidden", bias=attention_bias),
        *output(f"{block}.attn.Wo", "hidden", "heads*head_dim", bias=attention_bias),
        *norm(f"{block}.mlp_norm", bias=norm_bias),
        *linear(f"{block}.mlp.Wi", inner, "hidden", bias=mlp_bias),
        *output(f"{block}.mlp.Wo", "hidden", "intermediate", bias=mlp_bias),
        *norm("model.final_norm", bias=norm_bias),
    )


def _heads(config: ModelConfig, output_std: float) -> tuple[Parameter, ...]:
    raw, headless, tied_head = config.raw, not config.headed, config.headed and config.tied
    decoder_bias = bool(raw.get("decoder_bias", True))
    dense_bias, norm_bias = bool(raw.get("classifier_bias")), bool(raw.get("norm_bias"))
    decoder = readout("decoder", "vocab", bias=decoder_bias, optional=headless, init_std=output_std)
    label_std = 1 / (sqrt(config.sizes.hidden_size) * config.initializer_range)
    return (
        *linear("head.dense", "hidden", "hidden", bias=dense_bias, optional=headless, init_std=output_std),
        *norm("head.norm", bias=norm_bias, feeds_tied_head=tied_head, optional=headless),
        *(row for row in decoder if row.role is Role.BIAS or not config.tied),
        *readout("classifier", "labels", bias=True, init_std=label_std),
    )


def _table(config: ModelConfig) -> tuple[Parameter, ...]:
    output_std = 1 / sqrt(2 * config.sizes.num_hidden_layers)
    return (*_encoder(config, output_std), *_heads(config, output_std))


MODERNBERT = Architecture(
    model_type="modernbert",
    keys={},
    norm=Norm("layernorm", "norm_eps", 1e-5),
    rotary=True,
    read_sizes=_read_sizes,
    write_sizes=_write_sizes,
    table=_table,
    base_prefix="model",
    tied_copies={"decoder.weight": "model.embeddings.tok_embeddings.weight"},
    headed_classes=frozenset({"ModernBertForMaskedLM"}),
    objective="masked_lm",
    tied_by_default=True,
    layer_lists=_layer_lists,
    padding_refusal="the stream starts behind a norm, which can't fill new units with the mean of the old ones",
)
