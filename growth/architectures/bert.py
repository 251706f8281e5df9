"""BERT: post-LN encoder; a masked-LM head with a transform of its own, a pooler, or no head at all."""

from collections.abc import Mapping

from growth.axes import Architecture, Norm, Parameter, Role, embedding, linear, norm, out, readout
from growth.config import ModelConfig, Sizes, divide, label_count, read_int


def _read_sizes(raw: Mapping[str, object]) -> Sizes:
    hidden, heads = read_int(raw, "hidden_size"), read_int(raw, "num_attention_heads")
    return Sizes(
        hidden_size=hidden,
        intermediate_size=read_int(raw, "intermediate_size"),
        num_hidden_layers=read_int(raw, "num_hidden_layers"),
        num_attention_heads=heads,
        num_key_value_heads=heads,
        head_dim=divide(hidden, heads, "hidden_size over num_attention_heads"),
        vocab_size=read_int(raw, "vocab_size"),
        fixed={
            "positions": read_int(raw, "max_position_embeddings", 512),
            "types": read_int(raw, "type_vocab_size", 2),
            "labels": label_count(raw),
            "next_sentence": 2,
        },
    )


def _write_sizes(sizes: Sizes, _raw: Mapping[str, object]) -> dict[str, object]:
    names = ("hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads")
    return {name: getattr(sizes, name) for name in names}


def _encoder() -> tuple[Parameter, ...]:
    block = "bert.encoder.layer.{layer}"
    return (
        embedding("bert.embeddings.word_embeddings", "vocab"),
        embedding("bert.embeddings.position_embeddings", "positions"),
        embedding("bert.embeddings.token_type_embeddings", "types"),
        *norm("bert.embeddings.LayerNorm"),
        *linear(f"{block}.attention.self.query", "heads*query_dim", "hidden"),
        *linear(f"{block}.attention.self.key", "heads*head_dim", "hidden"),
        *linear(f"{block}.attention.self.value", "heads*head_dim", "hidden"),
        *linear(f"{block}.attention.output.dense", "hidden", "heads*head_dim", writes_residual=True),
        *norm(f"{block}.attention.output.LayerNorm"),
        *linear(f"{block}.intermediate.dense", "intermediate", "hidden"),
        *linear(f"{block}.output.dense", "hidden", "intermediate", writes_residual=True),
        *norm(f"{block}.output.LayerNorm"),
        *linear("bert.pooler.dense", "hidden", "hidden", optional=True),
    )


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
    return (*_encoder(), *_heads(config))


BERT = Architecture(
    model_type="bert",
    keys={},
    norm=Norm("layernorm", "layer_norm_eps", 1e-12, post=True),
    rotary=False,
    read_sizes=_read_sizes,
    write_sizes=_write_sizes,
    table=_table,
    base_prefix="bert",
    ignored=(r"(^|\.)embeddings\.(position|token_type)_ids$",),
    tied_copies={
        "cls.predictions.decoder.weight": "bert.embeddings.word_embeddings.weight",
        "cls.predictions.decoder.bias": "cls.predictions.bias",
    },
    renames=((r"LayerNorm\.gamma$", "LayerNorm.weight"), (r"LayerNorm\.beta$", "LayerNorm.bias")),
    headed_classes=frozenset({"BertForMaskedLM", "BertForPreTraining", "BertLMHeadModel"}),
    objective="masked_lm",
    tied_by_default=True,
)
