"""Llama: RMSNorm, rotary positions, gated MLP, grouped-query attention; head tied or not, biases optional."""

from collections.abc import Mapping

from growth.axes import Architecture, Norm, Parameter, embedding, linear, norm, readout
from growth.config import ModelConfig, Sizes, divide, label_count, read_int


def _read_sizes(raw: Mapping[str, object]) -> Sizes:
    hidden = read_int(raw, "hidden_size")
    heads = read_int(raw, "num_attention_heads")
    head_dim = read_int(raw, "head_dim", 0) or divide(hidden, heads, "hidden_size over num_attention_heads")
    kv_heads = read_int(raw, "num_key_value_heads", heads)
    divide(heads, kv_heads, "num_attention_heads over num_key_value_heads")
    return Sizes(
        hidden_size=hidden,
        intermediate_size=read_int(raw, "intermediate_size"),
        num_hidden_layers=read_int(raw, "num_hidden_layers"),
        num_attention_heads=heads,
        num_key_value_heads=kv_heads,
        head_dim=head_dim,
        vocab_size=read_int(raw, "vocab_size"),
        fixed={"labels": label_count(raw)},
    )


def _write_sizes(sizes: Sizes, raw: Mapping[str, object]) -> dict[str, object]:
    written: dict[str, object] = dict(sizes.as_dict())
    if "head_dim" not in raw and sizes.head_dim * sizes.num_attention_heads == sizes.hidden_size:
        del written["head_dim"]
    return written


def _table(config: ModelConfig) -> tuple[Parameter, ...]:
    block = "model.layers.{layer}"
    attention_bias, mlp_bias = bool(config.raw.get("attention_bias")), bool(config.raw.get("mlp_bias"))
    tied_head = config.headed and config.tied
    return (
        embedding("model.embed_tokens", "vocab"),
        *norm(f"{block}.input_layernorm", bias=False),
        *linear(f"{block}.self_attn.q_proj", "heads*query_dim", "hidden", bias=attention_bias),
        *linear(f"{block}.self_attn.k_proj", "kv_heads*head_dim", "hidden", bias=attention_bias),
        *linear(f"{block}.self_attn.v_proj", "kv_heads*head_dim", "hidden", bias=attention_bias),
        *linear(f"{block}.self_attn.o_proj", "hidden", "heads*head_dim", bias=attention_bias, writes_residual=True),
        *norm(f"{block}.post_attention_layernorm", bias=False),
        *linear(f"{block}.mlp.gate_proj", "intermediate", "hidden", bias=mlp_bias),
        *linear(f"{block}.mlp.up_proj", "intermediate", "hidden", bias=mlp_bias),
        *linear(f"{block}.mlp.down_proj", "hidden", "intermediate", bias=mlp_bias, writes_residual=True),
        *norm("model.norm", bias=False, feeds_tied_head=tied_head),
        *(() if config.tied else readout("lm_head", "vocab", optional=not config.headed)),
        *readout("score", "labels"),
    )


LLAMA = Architecture(
    model_type="llama",
    keys={},
    norm=Norm("rmsnorm", "rms_norm_eps", 1e-6),
    rotary=True,
    read_sizes=_read_sizes,
    write_sizes=_write_sizes,
    table=_table,
    base_prefix="model",
    ignored=(r"(^|\.)rotary_emb\.inv_freq$",),
    tied_copies={"lm_head.weight": "model.embed_tokens.weight"},
    headed_classes=frozenset({"LlamaForCausalLM"}),
)
