"""What most decoders share: their sizes under the usual keys, grouped attention, a gated MLP, and the two ends."""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace

from growth.axes import Parameter, embedding, linear, norm, readout
from growth.config import ModelConfig, Sizes, divide, label_count, read_int
from growth.errors import InvalidConfig

BASE = "model"
BLOCK = "model.layers.{layer}"
TIED_HEAD = {"lm_head.weight": "model.embed_tokens.weight"}
FREQUENCIES = (r"(^|\.)rotary_emb\.inv_freq$",)
"""Buffers of old checkpoints that transformers computes by itself."""


def read_sizes(raw: Mapping[str, object], kv_heads: int | None = None, head_dim: int | None = None) -> Sizes:
    """Sizes under the usual keys; `kv_heads` and `head_dim` are what transformers takes where the config has none.

    None stands for as many as heads, and for `hidden_size` over the heads.
    """
    hidden, heads = read_int(raw, "hidden_size"), read_int(raw, "num_attention_heads")
    grouped = read_int(raw, "num_key_value_heads", heads if kv_heads is None else kv_heads)
    divide(heads, grouped, "num_attention_heads over num_key_value_heads")
    named = read_int(raw, "head_dim", head_dim or 0)
    return Sizes(
        hidden_size=hidden,
        intermediate_size=read_int(raw, "intermediate_size"),
        num_hidden_layers=read_int(raw, "num_hidden_layers"),
        num_attention_heads=heads,
        num_key_value_heads=grouped,
        head_dim=named or divide(hidden, heads, "hidden_size over num_attention_heads"),
        vocab_size=read_int(raw, "vocab_size"),
        fixed={"labels": label_count(raw), "span": 2},
    )


def missing_kv_heads(raw: Mapping[str, object], default: int) -> int | None:
    """The `kv_heads` of `read_sizes` where transformers takes `default` for a missing key, and all heads for a null."""
    return None if "num_key_value_heads" in raw else default


def write_sizes(sizes: Sizes, raw: Mapping[str, object]) -> dict[str, object]:
    """The config's entries for `sizes`; `head_dim` where the config names it or heads do not add up to `hidden`."""
    written: dict[str, object] = dict(sizes.as_dict())
    if "head_dim" not in raw and sizes.head_dim * sizes.num_attention_heads == sizes.hidden_size:
        del written["head_dim"]
    return written


def layer_types(raw: Mapping[str, object], default: Callable[[int], str]) -> Sequence[object]:
    """The kind of attention of each layer, `default` of the layer's number where the config lists none.

    Raises InvalidConfig where it lists another number of layers.
    """
    layers, listed = read_int(raw, "num_hidden_layers"), raw.get("layer_types")
    if listed is None:
        return [default(layer) for layer in range(layers)]
    if not isinstance(listed, list) or len(listed) != layers:
        raise InvalidConfig(f"config.json must list one of layer_types for each of its {layers} layers.")
    return listed


def listed_layers(raw: Mapping[str, object]) -> Mapping[str, Sequence[object]]:
    """Layer types that a config lists though its family never asks for them; transformers still counts them."""
    return {"layer_types": layer_types(raw, str)} if raw.get("layer_types") is not None else {}


def attention(
    *, bias: bool = False, output_bias: bool | None = None, normed_queries: bool = False
) -> tuple[Parameter, ...]:
    """Grouped attention; `output_bias` is that of o_proj, `bias` that of all where it is None.

    `normed_queries`: queries and keys are normalised before they meet; those norms are the family's to add.
    """
    return (
        *linear(f"{BLOCK}.self_attn.q_proj", "heads*query_dim", "hidden", bias=bias, feeds_inner_norm=normed_queries),
        *linear(f"{BLOCK}.self_attn.k_proj", "kv_heads*head_dim", "hidden", bias=bias, feeds_inner_norm=normed_queries),
        *linear(f"{BLOCK}.self_attn.v_proj", "kv_heads*head_dim", "hidden", bias=bias),
        *linear(
            f"{BLOCK}.self_attn.o_proj",
            "hidden",
            "heads*head_dim",
            bias=bias if output_bias is None else output_bias,
            writes_residual=True,
        ),
    )


def gated_mlp(*, bias: bool = False) -> tuple[Parameter, ...]:
    """`down(act(gate(x)) * up(x))`."""
    return (
        *linear(f"{BLOCK}.mlp.gate_proj", "intermediate", "hidden", bias=bias),
        *linear(f"{BLOCK}.mlp.up_proj", "intermediate", "hidden", bias=bias),
        *linear(f"{BLOCK}.mlp.down_proj", "hidden", "intermediate", bias=bias, writes_residual=True),
    )


def pre_norms(*, bias: bool = False) -> tuple[Parameter, ...]:
    """The norm before the attention and the one before the MLP."""
    return (
        *norm(f"{BLOCK}.input_layernorm", bias=bias),
        *norm(f"{BLOCK}.post_attention_layernorm", bias=bias),
    )


def ends(config: ModelConfig, *, norm_bias: bool = False, scaled: bool = False) -> tuple[Parameter, ...]:
    """Embedding (`scaled` by the family's factor), last norm, and the heads of the family's classes."""
    return (
        embedding("model.embed_tokens", "vocab", scaled=scaled),
        *norm("model.norm", bias=norm_bias, feeds_tied_head=config.headed and config.tied),
        *heads(config),
    )


def heads(config: ModelConfig) -> tuple[Parameter, ...]:
    """The language-model head where it is not tied, and the classification heads."""
    return (
        *(() if config.tied else readout("lm_head", "vocab", optional=not config.headed)),
        *readout("score", "labels", bias=True),
        *readout("qa_outputs", "span", bias=True),
    )


def named_for(config: ModelConfig, rows: Iterable[Parameter]) -> tuple[Parameter, ...]:
    """`rows` under the names that the config's class has for them, where the family has `class_prefixes`."""
    return tuple(replace(row, name=re.sub(rf"^{BASE}\.", f"{config.base_prefix}.", row.name)) for row in rows)
