"""GPT-NeoX: query, key and value interleaved in each head, a part of it turned; blocks parallel or serial."""

from collections.abc import Mapping

from growth.architectures import bert
from growth.axes import Architecture, Norm, Parameter, embedding, linear, norm, readout
from growth.config import ModelConfig, Sizes


def _read_sizes(raw: Mapping[str, object]) -> Sizes:
    return bert.read_sizes(raw, qkv=3)


def _table(config: ModelConfig) -> tuple[Parameter, ...]:
    block, bias = "gpt_neox.layers.{layer}", bool(config.raw.get("attention_bias", True))
    return (
        embedding("gpt_neox.embed_in", "vocab"),
        *norm(f"{block}.input_layernorm"),
        *linear(f"{block}.attention.query_key_value", "heads*qkv*head_dim", "hidden", bias=bias),
        *linear(f"{block}.attention.dense", "hidden", "heads*head_dim", bias=bias, writes_residual=True),
        *norm(f"{block}.post_attention_layernorm"),
        *linear(f"{block}.mlp.dense_h_to_4h", "intermediate", "hidden"),
        *linear(f"{block}.mlp.dense_4h_to_h", "hidden", "intermediate", writes_residual=True),
        *norm("gpt_neox.final_layer_norm", feeds_tied_head=config.headed and config.tied),
        *(() if config.tied else readout("embed_out", "vocab", optional=not config.headed)),
        *readout("score", "labels"),
        *readout("classifier", "labels", bias=True),
        *readout("qa_outputs", "labels", bias=True),
    )


GPT_NEOX = Architecture(
    model_type="gpt_neox",
    keys={},
    norm=Norm("layernorm", "layer_norm_eps", 1e-5),
    rotary=True,
    read_sizes=_read_sizes,
    write_sizes=bert.write_sizes,
    table=_table,
    base_prefix="gpt_neox",
    ignored=(r"(^|\.)attention\.(masked_)?bias$", r"(^|\.)attention\.rotary_emb\.inv_freq$"),
    tied_copies={"embed_out.weight": "gpt_neox.embed_in.weight"},
    renames=((r"^lm_head\.", "embed_out."),),
    module_renames=((r"^embed_out\.", "lm_head."),),
    headed_classes=frozenset({"GPTNeoXForCausalLM"}),
)
