"""GPT-2: pre-LN, learned positions, `Conv1D` weights stored [in, out] with a fused query|key|value, head tied."""

from collections.abc import Mapping
from math import sqrt

from growth.axes import Architecture, Norm, Parameter, conv1d, embedding, norm, readout
from growth.config import ModelConfig, Sizes, divide, label_count, read_int
from growth.errors import InvalidConfig

# Other values make the attention's scale depend on the layer's number, or not on head_dim: copies would compute another
# function.
_PLAIN_ATTENTION = {"scale_attn_weights": True, "scale_attn_by_inverse_layer_idx": False}


def _read_sizes(raw: Mapping[str, object]) -> Sizes:
    for key, plain in _PLAIN_ATTENTION.items():
        if raw.get(key, plain) is not plain:
            raise InvalidConfig(f"config.json has {key} {str(raw[key])[:80]!r}; only GPT-2 with {plain} can be grown.")
    hidden, heads = read_int(raw, "n_embd"), read_int(raw, "n_head")
    return Sizes(
        hidden_size=hidden,
        intermediate_size=read_int(raw, "n_inner", 4 * hidden),
        num_hidden_layers=read_int(raw, "n_layer"),
        num_attention_heads=heads,
        num_key_value_heads=heads,
        head_dim=divide(hidden, heads, "n_embd over n_head"),
        vocab_size=read_int(raw, "vocab_size"),
        fixed={"positions": read_int(raw, "n_positions", 1024), "labels": label_count(raw)},
    )


def _write_sizes(sizes: Sizes, _raw: Mapping[str, object]) -> dict[str, object]:
    default_inner = sizes.intermediate_size == 4 * sizes.hidden_size
    return {
        "n_embd": sizes.hidden_size,
        "n_inner": None if default_inner else sizes.intermediate_size,
        "n_layer": sizes.num_hidden_layers,
        "n_head": sizes.num_attention_heads,
    }


def _table(config: ModelConfig) -> tuple[Parameter, ...]:
    block = "transformer.h.{layer}"
    # HF scales the fresh output projections by the number of residual additions, after the GPT-2 paper.
    residual_std = 1 / sqrt(2 * config.sizes.num_hidden_layers)
    tied_head = config.headed and config.tied
    return (
        embedding("transformer.wte", "vocab"),
        embedding("transformer.wpe", "positions"),
        *norm(f"{block}.ln_1"),
        *conv1d(f"{block}.attn.c_attn", "heads*query_dim|heads*head_dim|heads*head_dim", "hidden"),
        *conv1d(f"{block}.attn.c_proj", "hidden", "heads*head_dim", writes_residual=True, init_std=residual_std),
        *norm(f"{block}.ln_2"),
        *conv1d(f"{block}.mlp.c_fc", "intermediate", "hidden"),
        *conv1d(f"{block}.mlp.c_proj", "hidden", "intermediate", writes_residual=True, init_std=residual_std),
        *norm("transformer.ln_f", feeds_tied_head=tied_head),
        *(() if config.tied else readout("lm_head", "vocab", optional=not config.headed)),
        *readout("score", "labels"),
    )


GPT2 = Architecture(
    model_type="gpt2",
    keys={
        "hidden_size": "n_embd",
        "intermediate_size": "n_inner",
        "num_hidden_layers": "n_layer",
        "num_attention_heads": "n_head",
    },
    norm=Norm("layernorm", "layer_norm_epsilon", 1e-5),
    rotary=False,
    read_sizes=_read_sizes,
    write_sizes=_write_sizes,
    table=_table,
    base_prefix="transformer",
    ignored=(r"(^|\.)attn\.(masked_)?bias$",),
    tied_copies={"lm_head.weight": "transformer.wte.weight"},
    headed_classes=frozenset({"GPT2LMHeadModel"}),
    tied_by_default=True,
)
