"""DistilBERT: a BERT without token types and pooler, with names of its own for every size and an epsilon of 1e-12."""

from collections.abc import Mapping

from growth.axes import Architecture, Norm, Parameter, embedding, linear, norm, readout
from growth.config import ModelConfig, Sizes, divide, label_count, read_int

_KEYS = {
    "hidden_size": "dim",
    "intermediate_size": "hidden_dim",
    "num_hidden_layers": "n_layers",
    "num_attention_heads": "n_heads",
}


def _read_sizes(raw: Mapping[str, object]) -> Sizes:
    hidden, heads = read_int(raw, "dim"), read_int(raw, "n_heads")
    return Sizes(
        hidden_size=hidden,
        intermediate_size=read_int(raw, "hidden_dim"),
        num_hidden_layers=read_int(raw, "n_layers"),
        num_attention_heads=heads,
        num_key_value_heads=heads,
        head_dim=divide(hidden, heads, "dim over n_heads"),
        vocab_size=read_int(raw, "vocab_size"),
        fixed={"positions": read_int(raw, "max_position_embeddings", 512), "labels": label_count(raw)},
    )


def _write_sizes(sizes: Sizes, _raw: Mapping[str, object]) -> dict[str, object]:
    return {key: getattr(sizes, name) for name, key in _KEYS.items()}


def _encoder() -> tuple[Parameter, ...]:
    block = "distilbert.transformer.layer.{layer}"
    return (
        embedding("distilbert.embeddings.word_embeddings", "vocab"),
        embedding("distilbert.embeddings.position_embeddings", "positions"),
        *norm("distilbert.embeddings.LayerNorm"),
        *linear(f"{block}.attention.q_lin", "heads*query_dim", "hidden"),
        *linear(f"{block}.attention.k_lin", "heads*head_dim", "hidden"),
        *linear(f"{block}.attention.v_lin", "heads*head_dim", "hidden"),
        *linear(f"{block}.attention.out_lin", "hidden", "heads*head_dim", writes_residual=True),
        *norm(f"{block}.sa_layer_norm"),
        *linear(f"{block}.ffn.lin1", "intermediate", "hidden"),
        *linear(f"{block}.ffn.lin2", "hidden", "intermediate", writes_residual=True),
        *norm(f"{block}.output_layer_norm"),
    )


def _table(config: ModelConfig) -> tuple[Parameter, ...]:
    tied_head, headless = config.headed and config.tied, not config.headed
    projector = readout("vocab_projector", "vocab", bias=True, optional=headless)
    return (
        *_encoder(),
        *linear("vocab_transform", "hidden", "hidden", optional=headless),
        *norm("vocab_layer_norm", feeds_tied_head=tied_head, optional=headless),
        # Tied, the projector keeps a bias of its own.
        *(projector[1:] if config.tied else projector),
        *linear("pre_classifier", "hidden", "hidden", optional=True),
        *readout("classifier", "labels", bias=True),
        *readout("qa_outputs", "labels", bias=True),
    )


DISTILBERT = Architecture(
    model_type="distilbert",
    keys=_KEYS,
    norm=Norm("layernorm", "", 1e-12, post=True),
    rotary=False,
    read_sizes=_read_sizes,
    write_sizes=_write_sizes,
    table=_table,
    base_prefix="distilbert",
    ignored=(r"(^|\.)embeddings\.position_ids$",),
    tied_copies={"vocab_projector.weight": "distilbert.embeddings.word_embeddings.weight"},
    headed_classes=frozenset({"DistilBertForMaskedLM"}),
    objective="masked_lm",
    tied_by_default=True,
)
