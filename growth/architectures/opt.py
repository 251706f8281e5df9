"""OPT: learned positions from the third row on; embeddings may be narrower than the stream, blocks pre-LN or post-LN.

The epsilon of its norms is fixed. Where embeddings are projected into the stream and out of it (OPT-350m) they, and the
head tied to them, keep their width.
"""

from collections.abc import Mapping
from dataclasses import replace

from growth.axes import Architecture, Norm, Parameter, Role, embedding, into, linear, norm, out
from growth.config import ModelConfig, Sizes, divide, label_count, read_int
from growth.errors import InvalidConfig

OFFSET = 2
"""Rows of the table of positions that no token has."""
_NORM = Norm("layernorm", "", 1e-5)
_KEYS = {"intermediate_size": "ffn_dim"}
_BLOCK = "model.decoder.layers.{layer}"


def _read_sizes(raw: Mapping[str, object]) -> Sizes:
    _refuse_inexact(raw)
    hidden, heads = read_int(raw, "hidden_size"), read_int(raw, "num_attention_heads")
    embedded, positions = read_int(raw, "word_embed_proj_dim", hidden), read_int(raw, "max_position_embeddings", 2048)
    if embedded > hidden:
        raise InvalidConfig(f"config.json has word_embed_proj_dim {embedded}, more than hidden_size {hidden}.")
    return Sizes(
        hidden_size=hidden,
        intermediate_size=read_int(raw, "ffn_dim"),
        num_hidden_layers=read_int(raw, "num_hidden_layers"),
        num_attention_heads=heads,
        num_key_value_heads=heads,
        head_dim=divide(hidden, heads, "hidden_size over num_attention_heads"),
        vocab_size=read_int(raw, "vocab_size"),
        fixed={
            "positions": positions,
            "position_rows": positions + OFFSET,
            "labels": label_count(raw),
            **({"embedded": embedded} if embedded < hidden else {}),
        },
    )


def _refuse_inexact(raw: Mapping[str, object]) -> None:
    if raw.get("layer_norm_elementwise_affine", True) is not True:
        raise InvalidConfig(
            "config.json has norms without gains (layer_norm_elementwise_affine); such an OPT can't grow."
        )
    if raw.get("_remove_final_layer_norm") and _pre_norm(raw):
        raise InvalidConfig("config.json sets _remove_final_layer_norm; only an OPT with its last norm can be grown.")


def _pre_norm(raw: Mapping[str, object]) -> bool:
    return bool(raw.get("do_layer_norm_before", True))


def _choose_norm(raw: Mapping[str, object]) -> Norm:
    return replace(_NORM, post=not _pre_norm(raw))


def _write_sizes(sizes: Sizes, _raw: Mapping[str, object]) -> dict[str, object]:
    return {
        "hidden_size": sizes.hidden_size,
        "ffn_dim": sizes.intermediate_size,
        "num_hidden_layers": sizes.num_hidden_layers,
        "num_attention_heads": sizes.num_attention_heads,
        "word_embed_proj_dim": sizes.fixed.get("embedded", sizes.hidden_size),
    }


def _blocks(bias: bool) -> tuple[Parameter, ...]:
    return (
        *linear(f"{_BLOCK}.self_attn.q_proj", "heads*query_dim", "hidden", bias=bias),
        *linear(f"{_BLOCK}.self_attn.k_proj", "heads*head_dim", "hidden", bias=bias),
        *linear(f"{_BLOCK}.self_attn.v_proj", "heads*head_dim", "hidden", bias=bias),
        *linear(f"{_BLOCK}.self_attn.out_proj", "hidden", "heads*head_dim", bias=bias, writes_residual=True),
        *norm(f"{_BLOCK}.self_attn_layer_norm"),
        *linear(f"{_BLOCK}.fc1", "intermediate", "hidden", bias=bias),
        *linear(f"{_BLOCK}.fc2", "hidden", "intermediate", bias=bias, writes_residual=True),
        *norm(f"{_BLOCK}.final_layer_norm"),
    )


def _table(config: ModelConfig) -> tuple[Parameter, ...]:
    projected = "embedded" in config.sizes.fixed
    width = "embedded" if projected else "hidden"
    tied_head = config.headed and config.tied and not projected
    last_norm = norm("model.decoder.final_layer_norm", feeds_tied_head=tied_head) if _pre_norm(config.raw) else ()
    return (
        Parameter("model.decoder.embed_tokens.weight", Role.EMBEDDING, (out("vocab"), out(width))),
        embedding("model.decoder.embed_positions", "position_rows"),
        *(linear("model.decoder.project_in", "hidden", "embedded", bias=False) if projected else ()),
        *_blocks(bias=bool(config.raw.get("enable_bias", True))),
        *last_norm,
        *(linear("model.decoder.project_out", "embedded", "hidden", bias=False) if projected else ()),
        *(() if config.tied else (_scores("lm_head", "vocab", width, optional=not config.headed),)),
        _scores("score", "labels", width),
        _scores("qa_outputs", "labels", width),
        Parameter("qa_outputs.bias", Role.BIAS, (out("labels"),), optional=True),
    )


def _scores(name: str, labels: str, width: str, *, optional: bool = True) -> Parameter:
    return Parameter(f"{name}.weight", Role.READOUT, (out(labels), into(width)), optional=optional)


OPT = Architecture(
    model_type="opt",
    keys=_KEYS,
    norm=_NORM,
    choose_norm=_choose_norm,
    rotary=False,
    read_sizes=_read_sizes,
    write_sizes=_write_sizes,
    table=_table,
    base_prefix="model",
    tied_copies={"lm_head.weight": "model.decoder.embed_tokens.weight"},
    headed_classes=frozenset({"OPTForCausalLM"}),
    tied_by_default=True,
    initializer_range_key="init_std",
)
