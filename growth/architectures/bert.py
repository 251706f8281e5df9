"""BERT: post-LN encoder; a masked-LM head with a transform of its own, a pooler, or no head at all."""

from collections.abc import Mapping

from growth.axes import Architecture, Norm, Parameter, Role, embedding, linear, norm, out, readout
from growth.config import ModelConfig, Sizes, divide, label_count, read_int

KEYS = ("hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads")
IGNORED = (r"(^|\.)embeddings\.(position|token_type)_ids$",)
"""Buffers of old checkpoints that transformers computes by itself."""


def read_sizes(raw: Mapping[str, object], **fixed: int) -> Sizes:
    """Sizes of an encoder like BERT, with `fixed` axes of its own."""
    hidden, heads = read_int(raw, "hidden_size"), read_int(raw, "num_attention_heads")
    return Sizes(
        hidden_size=hidden,
        intermediate_size=read_int(raw, "intermediate_size"),
        num_hidden_layers=read_int(raw, "num_hidden_layers"),
        num_attention_heads=heads,
        num_key_value_heads=heads,
        head_dim=divide(hidden, heads, "hidden_size over num_attention_heads"),
        vocab_size=read_int(raw, "vocab_size"),
        fixed={"types": read_int(raw, "type_vocab_size", 2), "labels": label_count(raw), **fixed},
    )


def write_sizes(sizes: Sizes, _raw: Mapping[str, object]) -> dict[str, object]:
    """The config's entries for `sizes`."""
    return {name: getattr(sizes, name) for name in KEYS}


def encoder(base: str, positions: str = "positions") -> tuple[Parameter, ...]:
    """Embeddings, blocks and pooler of the model called `base`, whose positions lie along the axis `positions`."""
    block = f"{base}.encoder.layer.{{layer}}"
    return (
        embedding(f"{base}.embeddings.word_embeddings", "vocab"),
        embedding(f"{base}.embeddings.position_embeddings", positions),
        embedding(f"{base}.embeddings.token_type_embeddings", "types"),
        *norm(f"{base}.embeddings.LayerNorm"),
        *linear(f"{block}.attention.self.query", "heads*query_dim", "hidden"),
        *linear(f"{block}.attention.self.key", "heads*head_dim", "hidden"),
        *linear(f"{block}.attention.self.value", "heads*head_dim", "hidden"),
        *linear(f"{block}.attention.output.dense", "hidden", "heads*head_dim", writes_residual=True),
        *norm(f"{block}.attention.output.LayerNorm"),
        *linear(f"{block}.intermediate.dense", "intermediate", "hidden"),
        *linear(f"{block}.output.dense", "hidden", "intermediate", writes_residual=True),
        *norm(f"{block}.output.LayerNorm"),
        *linear(f"{base}.pooler.dense", "hidden", "hidden", optional=True),
    )


def _read_sizes(raw: Mapping[str, object]) -> Sizes:
    return read_sizes(raw, positions=read_int(raw, "max_position_embeddings", 512), next_sentence=2)


def _heads(config: ModelConfig) -> tuple[Parameter, ...]:
    tied_head, headless = config.headed and config.tied, not config.headed
    return (
        *linear("cls.predictions.transform.dense", "hidden", "hidden", optional=headless),
        *norm("cls.predictions.transform.LayerNorm", feeds_tied_head=tied_head, optional=headless),
        Parameter("cls.predictions.bias", Role.BIAS, (out("vocab"),), optional=headless),
        *(() if config.tied else readout("cls.predictions.decoder", "vocab", bias=True, optional=headless)),
        *readout("cls.seq_relationship", "next_sentence", bias=True),
        *readout("classifier", "labels", bias=True),
        *readout("qa_outputs", "labels", bias=True),
    )


def _table(config: ModelConfig) -> tuple[Parameter, ...]:
    return (*encoder("bert"), *_heads(config))


BERT = Architecture(
    model_type="bert",
    keys={},
    norm=Norm("layernorm", "layer_norm_eps", 1e-12, post=True),
    rotary=False,
    read_sizes=_read_sizes,
    write_sizes=write_sizes,
    table=_table,
    base_prefix="bert",
    ignored=IGNORED,
    tied_copies={
        "cls.predictions.decoder.weight": "bert.embeddings.word_embeddings.weight",
        "cls.predictions.decoder.bias": "cls.predictions.bias",
    },
    renames=((r"LayerNorm\.gamma$", "LayerNorm.weight"), (r"LayerNorm\.beta$", "LayerNorm.bias")),
    headed_classes=frozenset({"BertForMaskedLM", "BertForPreTraining", "BertLMHeadModel"}),
    objective="masked_lm",
    tied_by_default=True,
)
